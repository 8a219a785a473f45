"""The families of timm and torchvision, the smallest of each, and what a reader of their code says of them.

``blocks`` are the classes that the definition of the model calls its blocks: every module of these that ran,
the outermost ones, is one. Stages are timm's ``feature_info``; where this names others, or there is none, the
channels are written here, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import timm
import torch
import torchvision
from torch import nn

HEAD = "its last convolution belongs to the head here, and to the last stage in feature_info"
TAIL = "feature_info names layers in the middle of its last stages"
STEM = "its stem holds blocks, which are a stage here; its last convolution is one too"
FUSED = "from its second stage on coarse maps go into fine ones; feature_info lists the maps of its head"
BRANCHES = "two branches at two resolutions, for which feature_info counts the steps, and no block joins them"
INSIDE = "feature_info hooks into the middle of blocks"
PAIRS = "its blocks return two maps, the first of them cut into windows: refused, with the reason"
PLAIN = "its convolutions are not padded, which the reductions of feature_info do not count"
TREES = "trees of blocks, whose outermost modules are whole stages"


@dataclass(frozen=True)
class Family:
    """What a reader says.

    Args:
        blocks: The classes of its blocks, joined by a bar; empty where it has none, or ``count`` tells.
        size: Rows and columns of the images.
        stages: The channels of its stages, where these are not what ``feature_info`` says.
        pools: Whether all positions become one vector; not so where a class token goes on, or all of them.
        why: Why it is not as ``blocks`` or ``feature_info`` says.
        count: The number of its blocks, where classes do not tell.
    """

    blocks: str
    size: int
    stages: tuple[int, ...] = ()
    pools: bool = True
    why: str = ""
    count: int = 0


def build(name: str) -> nn.Module:
    """Return the model without weights: shapes are all that is looked at."""
    if name.startswith("tv/regnet"):  # its constructor reads values
        return torchvision.models.get_model(name[3:], weights=None, num_classes=4).to("meta").eval()
    with torch.device("meta"):
        if not name.startswith("tv/"):
            return timm.create_model(name, num_classes=4).eval()
        more = {"init_weights": False} if name in ("tv/googlenet", "tv/inception_v3") else {}
        return torchvision.models.get_model(name[3:], weights=None, num_classes=4, **more).eval()


FAMILIES: dict[str, Family] = {
    "beit_base_patch16_224": Family("Block", 224),
    "beitv2_base_patch16_224": Family("Block", 224),
    "botnet26t_256": Family("BottleneckBlock|SelfAttnBlock", 256),
    "eca_botnext26ts_256": Family("BottleneckBlock|SelfAttnBlock", 256),
    "halo2botnet50ts_256": Family("BottleneckBlock|SelfAttnBlock", 256),
    "halonet_h1": Family("SelfAttnBlock", 256),
    "haloregnetz_b": Family("BottleneckBlock|SelfAttnBlock", 224, stages=(48, 96, 192, 288), why=HEAD),
    "lambda_resnet26t": Family("BottleneckBlock|SelfAttnBlock", 128),
    "lamhalobotnet50ts_256": Family("BottleneckBlock|SelfAttnBlock", 256),
    "sebotnet33ts_256": Family("BottleneckBlock|SelfAttnBlock", 256, stages=(256, 512, 1024, 1536), why=HEAD),
    "sehalonet33ts": Family("BottleneckBlock|SelfAttnBlock", 256, stages=(256, 512, 1024, 1536), why=HEAD),
    "bat_resnext26ts": Family("BottleneckBlock", 256),
    "eca_resnext26ts": Family("BottleneckBlock", 96),
    "gcresnet33ts": Family("BottleneckBlock", 96, stages=(256, 512, 1536, 1536), why=HEAD),
    "gcresnext26ts": Family("BottleneckBlock", 96),
    "gernet_s": Family("BasicBlock|BottleneckBlock", 96, stages=(48, 48, 384, 256), why=HEAD),
    "mobileone_s1": Family("MobileOneBlock", 96),
    "regnetz_b16": Family("BottleneckBlock", 96, stages=(48, 96, 192, 288), why=HEAD),
    "repvgg_a0": Family("RepVggBlock", 96),
    "resnet32ts": Family("BottleneckBlock", 96),
    "resnext26ts": Family("BottleneckBlock", 96),
    "seresnet33ts": Family("BottleneckBlock", 96, stages=(256, 512, 1536, 1536), why=HEAD),
    "seresnext26ts": Family("BottleneckBlock", 96),
    "cait_xxs24_224": Family("LayerScaleBlock", 224),
    "coat_tiny": Family("SerialBlock", 224, pools=False),
    "convit_tiny": Family("Block", 224, pools=False),
    "convmixer_768_32": Family("Residual", 96),
    "convnext_zepto_rms": Family("ConvNeXtBlock", 96),
    "convnextv2_atto": Family("ConvNeXtBlock", 96),
    "cpubone_nano": Family("CPUBoneBlock|ResidualBlock", 96),
    "crossvit_tiny_240": Family("Block", 240, stages=(96, 192), why=BRANCHES),
    "csatv2": Family("Block|TransformerBlock", 128),
    "cs3darknet_focus_s": Family("DarkBlock", 96),
    "cspdarknet53": Family("DarkBlock", 96),
    "cspresnet50": Family("BottleneckBlock", 96),
    "cspresnext50": Family("BottleneckBlock", 96),
    "darknet17": Family("DarkBlock", 96),
    "darknetaa53": Family("DarkBlock", 96),
    "sedarknet21": Family("DarkBlock", 96),
    "cspnext_tiny": Family("CspNextBlock", 96),
    "davit_tiny": Family("ChannelBlock|SpatialBlock", 96),
    "deit_tiny_patch16_224": Family("Block", 224, pools=False),
    "densenet121": Family("DenseBlock", 96),
    "densenetblur121d": Family("DenseBlock", 96),
    "dla46x_c": Family("", 96, count=8, why=TREES),
    "dpn48b": Family("DualPathBlock", 96),
    "edgenext_xx_small": Family("ConvBlock|SplitTransposeBlock", 96),
    "efficientformer_l1": Family("MetaBlock1d|MetaBlock2d", 224),
    "efficientformerv2_s0": Family("Downsample|EfficientFormerV2Block", 224),
    "efficientnet_b0": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "efficientnetv2_rw_t": Family("ConvBnAct|EdgeResidual|InvertedResidual", 96),
    "fbnetc_100": Family("InvertedResidual", 96),
    "gc_efficientnetv2_rw_t": Family("ConvBnAct|EdgeResidual|InvertedResidual", 96),
    "mixnet_s": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "mnasnet_small": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "mobilenet_edgetpu_100": Family("EdgeResidual|InvertedResidual", 96),
    "mobilenetv2_035": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "semnasnet_050": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "spnasnet_100": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "tf_efficientnet_b0": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "tf_efficientnetv2_b0": Family("EdgeResidual|InvertedResidual", 96),
    "tf_mixnet_s": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "tinynet_e": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "efficientvim_m1": Family("EfficientViMBlock|PatchMerging", 96),
    "efficientvit_b0": Family("EfficientVitBlock|ResidualBlock", 96, stages=(8, 16, 32, 64, 128), why=STEM),
    "efficientvit_m0": Family("ResidualDrop", 224),
    "eva02_tiny_patch14_224": Family("EvaBlock", 224),
    "vit_tiny_patch16_dinov3_qkvb": Family("EvaBlock", 256),
    "fasternet_t0": Family("MLPBlock", 96),
    "fastvit_t8": Family(
        "MobileOneBlock|RepMixerBlock|ReparamLargeKernelConv", 96, stages=(48, 48, 96, 192, 768), why=STEM
    ),
    "focalnet_tiny_srf": Family("FocalNetBlock", 96),
    "gcvit_xxtiny": Family(
        "GlobalContextVitBlock|MbConvBlock", 224, stages=(64, 64, 128, 256, 512), why=STEM
    ),
    "ghostnet_050": Family("GhostBottleneck", 96, stages=(8, 12, 20, 56, 480), why=TAIL),
    "ghostnetv3_050": Family("GhostBottleneckV3", 96, stages=(8, 12, 20, 56, 480), why=TAIL),
    "hardcorenas_b": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "hgnet_tiny": Family("HighPerfGpuBlock", 96),
    "hgnetv2_b0": Family("HighPerfGpuBlock", 96),
    "hiera_tiny_224": Family("HieraBlock", 224),
    "hieradet_small": Family("MultiScaleBlock", 224),
    "sam2_hiera_tiny": Family("MultiScaleBlock", 224),
    "hrnet_w18_small": Family("BasicBlock|Bottleneck", 96, stages=(16, 32, 64), why=FUSED),
    "iformer_t": Family("Residual", 96),
    "inception_next_atto": Family("MetaNeXtBlock", 96),
    "inception_resnet_v2": Family("Block17|Block35|Block8", 299, stages=(320, 1088, 2080), why=HEAD),
    "inception_v3": Family("InceptionA|InceptionC|InceptionE", 299, stages=(288, 768, 2048), why=PLAIN),
    "inception_v4": Family("InceptionA|InceptionB|InceptionC", 299, stages=(384, 1024, 1536), why=PLAIN),
    "lcnetv2_small": Family("RepDepthwiseSeparable", 96, stages=(48, 96, 192, 384, 768), why=STEM),
    "levit_128s": Family("LevitBlock|LevitDownsample", 224),
    "lowformer_b0": Family("LowFormerBlock|ResidualBlock", 96),
    "mambaout_femto": Family("GatedConvBlock", 96),
    "coatnet_pico_rw_224": Family("MbConvBlock|TransformerBlock2d", 224),
    "coatnext_nano_rw_224": Family("ConvNeXtBlock|TransformerBlock2d", 224),
    "maxvit_pico_rw_256": Family("MbConvBlock|PartitionAttentionCl", 256),
    "maxxvit_rmlp_nano_rw_256": Family("ConvNeXtBlock|PartitionAttentionCl", 256),
    "maxxvitv2_nano_rw_256": Family("ConvNeXtBlock|PartitionAttentionCl", 256),
    "caformer_s18": Family("MetaFormerBlock", 96),
    "convformer_s18": Family("MetaFormerBlock", 96),
    "poolformer_s12": Family("MetaFormerBlock", 96),
    "poolformerv2_s12": Family("MetaFormerBlock", 96),
    "gmixer_12_224": Family("MixerBlock", 224),
    "gmlp_ti16_224": Family("SpatialGatingBlock", 224),
    "mixer_s16_224": Family("MixerBlock", 224),
    "resmlp_12_224": Family("ResBlock", 224),
    "fbnetv3_b": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "lcnet_035": Family("", 96),
    "mobilenetv3_small_050": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "tf_mobilenetv3_small_075": Family("DepthwiseSeparableConv|InvertedResidual", 96),
    "mobilenetv5_base": Family("EdgeResidual|MobileAttention|UniversalInvertedResidual", 96),
    "mobilevit_xxs": Family("BottleneckBlock|MobileVitBlock", 96, stages=(16, 24, 48, 64, 80), why=HEAD),
    "mobilevitv2_050": Family("BottleneckBlock|MobileVitV2Block", 96),
    "mvitv2_tiny": Family("MultiScaleBlock", 224),
    "naflexvit_base_patch16_parfac_gap": Family("Block", 96),
    "nasnetalarge": Family("FirstCell|NormalCell", 96),
    "nest_tiny": Family("TransformerLayer", 224),
    "nextvit_small": Family("NextConvBlock|NextTransformerBlock", 96),
    "dm_nfnet_f0": Family("NormFreeBlock", 96, stages=(256, 512, 1536, 1536), why=HEAD),
    "eca_nfnet_l0": Family("NormFreeBlock", 96, stages=(256, 512, 1536, 1536), why=HEAD),
    "nf_regnet_b0": Family("NormFreeBlock", 96, stages=(40, 80, 160, 328), why=HEAD),
    "nfnet_l0": Family("NormFreeBlock", 96, stages=(256, 512, 1536, 1536), why=HEAD),
    "pit_ti_224": Family("Block", 224, pools=False),
    "pnasnet5large": Family("Cell", 96),
    "pvt_v2_b0": Family("Block", 96),
    "qwen3_vit_88m": Family("EvaBlock", 96),
    "rdnet_tiny": Family("DenseStage", 96),
    "regnetv_040": Family("PreBottleneck", 96),
    "regnetx_002": Family("Bottleneck", 96),
    "regnety_002": Family("Bottleneck", 96),
    "regnetz_005": Family("Bottleneck", 96),
    "repghostnet_050": Family("RepGhostBottleneck", 96, stages=(8, 12, 20, 56, 480), why=TAIL),
    "repvit_m1": Family("RepViTBlock|RepVitDownsample", 96),
    "res2next50": Family("Bottle2neck", 96),
    "resnest14d": Family("ResNestBottleneck", 96),
    "ecaresnet26t": Family("Bottleneck", 96),
    "ecaresnetlight": Family("Bottleneck", 96),
    "ecaresnext26t_32x4d": Family("Bottleneck", 96),
    "resnet18": Family("BasicBlock", 96),
    "resnetaa34d": Family("BasicBlock", 96),
    "resnetblur18": Family("BasicBlock", 96),
    "resnetrs50": Family("Bottleneck", 96),
    "resnext50_32x4d": Family("Bottleneck", 96),
    "seresnet18": Family("BasicBlock", 96),
    "seresnetaa50d": Family("Bottleneck", 96),
    "seresnext26t_32x4d": Family("Bottleneck", 96),
    "wide_resnet50_2": Family("Bottleneck", 96),
    "resnetv2_18": Family("PreActBasic", 96),
    "rexnet_100": Family("LinearBottleneck", 96),
    "rexnetr_100": Family("LinearBottleneck", 96),
    "selecsls42": Family("SelecSlsBlock", 96, stages=(128, 288, 480), why=HEAD),
    "legacy_seresnet18": Family("SEResNetBlock", 96),
    "legacy_seresnext26_32x4d": Family("SEResNeXtBottleneck", 96),
    "sequencer2d_s": Family("Sequencer2dBlock", 224),
    "shvit_s1": Family("PatchMerging|Residual", 96),
    "skresnet18": Family("SelectiveKernelBasic", 96),
    "skresnext50_32x4d": Family("SelectiveKernelBottleneck", 96),
    "starnet_s050": Family("Block", 96),
    "swiftformer_xs": Family("Block|ConvEncoder", 224),
    "swin_tiny_patch4_window7_224": Family("SwinTransformerBlock", 224),
    "swinv2_tiny_window8_256": Family("SwinTransformerV2Block", 256),
    "swinv2_cr_tiny_224": Family("SwinTransformerV2CrBlock", 224),
    "tiny_vit_5m_224": Family("MBConv|TinyVitBlock", 96),
    "tnt_s_legacy_patch16_224": Family("", 224, stages=(24, 384), why=PAIRS, pools=False),
    "tresnet_m": Family("BasicBlock|Bottleneck", 96),
    "twins_svt_small": Family("Block", 224),
    "visformer_tiny": Family("Block", 224),
    "beit3_base_patch16_224": Family("Block", 224),
    "flexivit_small": Family("Block", 240, pools=False),
    "vit_dwee_patch16_reg1_gap_256": Family("Block", 256),
    "vit_tiny_r_s16_p8_224": Family("Block", 224, pools=False),
    "vit_srelpos_small_patch16_224": Family("RelPosBlock", 224),
    "samvit_base_patch16_224": Family("Block", 224),
    "vitamin_small_224": Family("Block|MbConvLNBlock", 224, stages=(64, 128, 384), why=STEM),
    "volo_d1_224": Family("Outlooker|Transformer", 224),
    "eca_vovnet39b": Family("OsaBlock", 96),
    "ese_vovnet19b_slim_dw": Family("OsaBlock", 96),
    "vovnet39a": Family("OsaBlock", 96),
    "legacy_xception": Family("Block", 299, stages=(128, 256, 728, 1024), why=INSIDE),
    "xception41p": Family("PreXceptionModule", 96, stages=(128, 256, 728, 2048), why=INSIDE),
    "xcit_nano_12_p8_224": Family("ClassAttentionBlock|XCABlock", 224, pools=False),
    "mobilenetv4_conv_small": Family("UniversalInvertedResidual", 96),
    "tv/alexnet": Family("", 64, stages=(64, 192, 256, 256), pools=False),
    "tv/convnext_tiny": Family("CNBlock", 64, stages=(96, 192, 384, 768)),
    "tv/densenet121": Family("_DenseBlock", 64, stages=(256, 512, 1024, 1024)),
    "tv/efficientnet_b0": Family("MBConv", 64, stages=(16, 24, 40, 112, 320)),
    "tv/efficientnet_v2_s": Family("FusedMBConv|MBConv", 64, stages=(24, 48, 64, 160, 256)),
    "tv/googlenet": Family("Inception", 64, stages=(480, 832, 1024)),
    "tv/inception_v3": Family("InceptionA|InceptionC|InceptionE", 299, stages=(288, 768, 2048)),
    "tv/maxvit_t": Family("MBConv|PartitionAttentionLayer", 224, stages=(64, 128, 256, 512)),
    "tv/mnasnet0_5": Family("_InvertedResidual", 64, stages=(16, 24, 48, 160)),
    "tv/mobilenet_v2": Family("InvertedResidual", 64, stages=(16, 24, 32, 96, 320)),
    "tv/mobilenet_v3_small": Family("InvertedResidual", 64, stages=(16, 24, 48, 96)),
    "tv/regnet_x_400mf": Family("ResBottleneckBlock", 64, stages=(32, 64, 160, 400)),
    "tv/regnet_y_400mf": Family("ResBottleneckBlock", 64, stages=(48, 104, 208, 440)),
    "tv/resnet18": Family("BasicBlock", 64, stages=(64, 128, 256, 512)),
    "tv/resnext50_32x4d": Family("Bottleneck", 64, stages=(256, 512, 1024, 2048)),
    "tv/shufflenet_v2_x0_5": Family("InvertedResidual", 64, stages=(48, 96, 192)),
    "tv/squeezenet1_0": Family("Fire", 64, stages=(256, 512, 512)),
    "tv/swin_t": Family("SwinTransformerBlock", 64, stages=(96, 192, 384, 768)),
    "tv/swin_v2_t": Family("SwinTransformerBlockV2", 64, stages=(96, 192, 384, 768)),
    "tv/vgg11_bn": Family("", 64, stages=(64, 128, 256, 512, 512, 512), pools=False),
    "tv/vit_b_16": Family("EncoderBlock", 224, stages=(768,), pools=False),
    "tv/wide_resnet50_2": Family("Bottleneck", 64, stages=(256, 512, 1024, 2048)),
}

# Those with unusual maps or blocks, which every gate takes.
FEW = (
    "tv/resnet18",
    "tv/swin_t",
    "cspnext_tiny",
    "ese_vovnet19b_slim_dw",
    "hiera_tiny_224",
    "lcnet_035",
    "levit_128s",
    "mobilenetv4_conv_small",
    "mobilevit_xxs",
    "nest_tiny",
    "pit_ti_224",
)
