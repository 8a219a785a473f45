"""Methods of explanation: one file each."""

from foveate.explain.methods.eigen_cam import EigenCAM as EigenCAM
from foveate.explain.methods.explanation import Explanation as Explanation
from foveate.explain.methods.explanation import explanations as explanations
from foveate.explain.methods.explanation import read_method as read_method
from foveate.explain.methods.grad_cam import GradCAM as GradCAM
from foveate.explain.methods.grad_cam_pp import GradCAMPlusPlus as GradCAMPlusPlus
from foveate.explain.methods.hires_cam import HiResCAM as HiResCAM
from foveate.explain.methods.input_x_gradient import InputXGradient as InputXGradient
from foveate.explain.methods.integrated_gradients import IntegratedGradients as IntegratedGradients
from foveate.explain.methods.layer_cam import LayerCAM as LayerCAM
from foveate.explain.methods.occlusion import Occlusion as Occlusion
from foveate.explain.methods.rise import RISE as RISE
from foveate.explain.methods.saliency import Saliency as Saliency
from foveate.explain.methods.score_cam import ScoreCAM as ScoreCAM
from foveate.explain.methods.smooth_grad import SmoothGrad as SmoothGrad
from foveate.explain.methods.x_grad_cam import XGradCAM as XGradCAM
