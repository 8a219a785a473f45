"""Names of published weights of DeepLabv3+, translated to foveate's."""

from __future__ import annotations

from foveate.models.weight_names import Rules

VAINF: Rules = (
    (r"^backbone\.(?:low|high)_level_features\.", "encoder.features."),  # MobileNetV2's, cut in two
    (r"^backbone\.", "encoder."),
    (r"^classifier\.project\.", "fine."),
    (r"^classifier\.aspp\.", "context."),
    (r"^classifier\.classifier\.3\.", "head."),
    (r"^classifier\.classifier\.", "decoder.0."),
    (r"\.body\.", "."),
)
JFZHANG: Rules = (
    (r"^backbone\.", "encoder."),
    (r"^(encoder\.features\.1\.conv)\.([01])\.", r"\1.0.\2."),  # MobileNetV2's, whose layers lie in one row
    (r"^(encoder\.features\.1\.conv)\.3\.", r"\1.1."),
    (r"^(encoder\.features\.1\.conv)\.4\.", r"\1.2."),
    (r"^(encoder\.features\.(?!1\.)\d+\.conv)\.([01])\.(?!\d)", r"\1.0.\2."),
    (r"^(encoder\.features\.(?!1\.)\d+\.conv)\.3\.", r"\1.1.0."),
    (r"^(encoder\.features\.(?!1\.)\d+\.conv)\.4\.", r"\1.1.1."),
    (r"^(encoder\.features\.(?!1\.)\d+\.conv)\.6\.", r"\1.2."),
    (r"^(encoder\.features\.(?!1\.)\d+\.conv)\.7\.", r"\1.3."),
    (r"^aspp\.aspp([1-4])\.", r"aspp.\1."),
    (r"^aspp\.([1-4])\.atrous_conv\.", r"context.convs.#\1.0."),
    (r"^aspp\.([1-4])\.bn\.", r"context.convs.#\1.1."),
    *((f"#{number}\\.", f"{number - 1}.") for number in range(1, 5)),
    (r"^aspp\.global_avg_pool\.", "context.convs.4."),
    (r"^aspp\.conv1\.", "context.project.0."),
    (r"^aspp\.bn1\.", "context.project.1."),
    (r"^decoder\.conv1\.", "fine.0."),
    (r"^decoder\.bn1\.", "fine.1."),
    (r"^decoder\.last_conv\.([01])\.", r"decoder.0.\1."),
    (r"^decoder\.last_conv\.4\.", "decoder.1.0."),
    (r"^decoder\.last_conv\.5\.", "decoder.1.1."),
    (r"^decoder\.last_conv\.8\.", "head."),
)
TWICE = r"^encoder\.(low|high)_level_features\."  # jfzhang95's MobileNetV2, whose layers have two names each
SMP: Rules = (
    (r"^decoder\.aspp\.0\.", "context."),
    (r"^decoder\.aspp\.1\.", "extra.0."),
    (r"^decoder\.aspp\.2\.", "extra.1."),
    (r"^decoder\.block1\.", "fine."),
    (r"^decoder\.block2\.", "decoder.0."),
    (r"^segmentation_head\.0\.", "head."),
)
