"""Arguments that several commands share, and the values they are parsed into."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib import catalogue
from QSMSeparationLib.runtime.errors import InputError

if TYPE_CHECKING:
    from QSMSeparationLib.data.volume import Volume
    from QSMSeparationLib.pipeline.options import Options

Commands = argparse._SubParsersAction


def add_command(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    """Add a command with the arguments that every command has."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--progress", choices=("auto", "json", "none"), default="auto", help="how progress is shown"
    )
    return parser


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add ``--overwrite`` and ``--name``."""
    add_overwrite(parser)
    parser.add_argument(
        "--name", default="sub-01", metavar="sub-XX", help="BIDS name of the subject"
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add ``--overwrite``."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def add_method_options(parser: argparse.ArgumentParser, separation: bool = True) -> None:
    """Add the choice of methods, their parameters and the device."""
    if separation:
        _add_method_names(parser)
    add_relaxivities(parser)
    if separation:
        parser.add_argument(
            "--dr-auto", action="store_true",
            help="scale both relaxivities by the level of the measured R2' in this scan",
        )  # fmt: skip
        parser.add_argument(
            "--dr-band", type=float, default=0.0, metavar="PERCENT",
            help="how far both relaxivities may be off (SD): makes the SDs of the sources larger",
        )  # fmt: skip
    add_device(parser)
    parser.add_argument(
        "--set", action="append", default=[], metavar="PARAMETER=VALUE",
        help="parameter of a method (see 'qsmsep methods'); may be repeated",
    )  # fmt: skip
    if separation:
        parser.add_argument(
            "--weights", type=Path, metavar="FILE.pt",
            help="own weights of the separation network, their model card (.json) beside them",
        )  # fmt: skip


def add_magnitude(parser: argparse.ArgumentParser) -> None:
    """Add ``--magnitude``."""
    parser.add_argument(
        "--magnitude", type=Path, metavar="G",
        help="magnitude: weights of the field, and borders where there is no R2*",
    )  # fmt: skip


def add_lesions(parser: argparse.ArgumentParser) -> None:
    """Add ``--lesions``, and what tells where lesions lie."""
    parser.add_argument("--lesions", type=Path, metavar="SEG", help="lesion segmentation")
    parser.add_argument(
        "--tissue", type=Path, metavar="LABELS",
        help="FreeSurfer or SynthSeg labels: tells where lesions lie, and which white matter is "
        "normal (default: by anatomy, or estimated)",
    )  # fmt: skip


def add_regions(parser: argparse.ArgumentParser) -> None:
    """Add ``--regions``."""
    parser.add_argument(
        "--regions", type=Path, metavar="LABELS",
        help="label map to measure in, its table (.tsv: index, name) beside it (default: by "
        "anatomy)",
    )  # fmt: skip


def add_mask_method(parser: argparse.ArgumentParser) -> None:
    """Add ``--mask-method``."""
    parser.add_argument(
        "--mask-method", choices=("anatomy", "threshold"), default="threshold",
        help="how the brain is found: by anatomy-net, which also labels it, or by the magnitude "
        "and its decay (default: threshold)",
    )  # fmt: skip


def add_anonymous(parser: argparse.ArgumentParser) -> None:
    """Add ``--anonymous``."""
    parser.add_argument(
        "--anonymous", action="store_true",
        help="DICOM objects of nobody: no identity, no dates, a new study",
    )  # fmt: skip


def add_keep(parser: argparse.ArgumentParser) -> None:
    """Add ``--keep``."""
    parser.add_argument("--keep", action="store_true", help="write intermediate maps too")


def _add_method_names(parser: argparse.ArgumentParser) -> None:
    names = {
        stage: ", ".join(m.name for m in catalogue.methods(stage))
        for stage in ("inversion", "separation")
    }
    parser.add_argument(
        "--method", default="", metavar="NAME",
        help=f"separation: {names['separation']}; default: by what is known of R2'",
    )  # fmt: skip
    parser.add_argument(
        "--inversion", default=catalogue.DEFAULT_INVERSION, metavar="NAME",
        help=f"field to net chi: {names['inversion']}",
    )  # fmt: skip


def add_background(parser: argparse.ArgumentParser) -> None:
    """Add ``--background``."""
    names = ", ".join(m.name for m in catalogue.methods("background"))
    parser.add_argument(
        "--background", default=catalogue.DEFAULT_BACKGROUND, metavar="NAME",
        help=f"background removal: {names} (default {catalogue.DEFAULT_BACKGROUND})",
    )  # fmt: skip


def add_relaxivities(parser: argparse.ArgumentParser) -> None:
    """Add ``--dr-para`` and ``--dr-dia``."""
    for source, sign in (("para", "+"), ("dia", "-")):
        parser.add_argument(
            f"--dr-{source}", type=float, default=114.0, metavar="HZ_PER_PPM",
            help=f"relaxivity of chi{sign} at 3 T (default 114)",
        )  # fmt: skip


def add_field_strength(parser: argparse.ArgumentParser) -> None:
    """Add ``--b0``."""
    parser.add_argument(
        "--b0", type=float, default=3.0, metavar="T", help="field strength (default 3)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute"
    )


def seed(text: str) -> int:
    """Parse a seed: a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no seed; give a whole number, 0 or more")
    return int(text)


def chosen_options(args: argparse.Namespace) -> Options:
    """Collect the user's choices of methods and parameters."""
    from QSMSeparationLib.pipeline.options import Options

    parameters = {}
    for item in args.set:
        name, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--set {item}: give PARAMETER=VALUE")
        parameters[name.strip()] = value.strip()
    defaults = Options()
    b0_tesla = getattr(args, "b0", None)
    return Options(
        method=getattr(args, "method", defaults.method),
        inversion=args.inversion,
        background=getattr(args, "background", defaults.background),
        mask_method=getattr(args, "mask_method", defaults.mask_method),
        dr_para=args.dr_para,
        dr_dia=args.dr_dia,
        dr_auto=getattr(args, "dr_auto", defaults.dr_auto),
        dr_band_percent=getattr(args, "dr_band", defaults.dr_band_percent),
        b0_tesla=defaults.b0_tesla if b0_tesla is None else b0_tesla,
        tr_s=getattr(args, "tr", None),
        flip_deg=getattr(args, "flip_angle", None),
        device=args.device,
        parameters=parameters,
        weights=getattr(args, "weights", None),
    )


def given_lesions(args: argparse.Namespace) -> Volume | None:
    """Read the lesion segmentation, if one was given."""
    from QSMSeparationLib.io.nifti import read_labels

    return None if args.lesions is None else read_labels(args.lesions)


def given_tissue(args: argparse.Namespace) -> Volume | None:
    """Read the labels that tell where lesions lie, if they were given, as a tissue map."""
    from QSMSeparationLib.io.nifti import read_labels
    from QSMSeparationLib.lesions.location import from_freesurfer

    return None if args.tissue is None else from_freesurfer(read_labels(args.tissue))


def given_regions(args: argparse.Namespace) -> tuple[Volume, list[tuple[int, str]]] | None:
    """Read the label map to measure in and its names, if one was given."""
    from QSMSeparationLib.io.label_maps import read_label_map

    return None if args.regions is None else read_label_map(args.regions)
