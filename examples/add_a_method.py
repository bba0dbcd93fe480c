"""Add an inversion: one function and one row of the catalogue.

    python examples/add_a_method.py               compare it with tkd on a small simulated head

To add it to the project, put the function into QSMSeparationLib/inversion/tikhonov.py and the row
into QSMSeparationLib/catalogue.py. To ship it in a package of your own, see examples/plugin.
"""

from __future__ import annotations

import numpy as np
import torch
from example_head import scan_small_head
from torch import Tensor

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.method import Method, Parameter
from QSMSeparationLib.evaluation.metrics import demeaned_nrmse
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.window import Window


def tikhonov(maps: Maps, context: Context, *, weight: float) -> Tensor:
    """Minimize |D chi - f|^2 + weight |chi|^2: one pair of Fourier transforms."""
    (local_field,) = maps.need("local_field")
    window = Window(maps, pad=0.25)
    gain = window.dipole / (window.dipole**2 + weight)
    spectrum = torch.fft.rfftn(window.embed(local_field)) * gain
    return window.extract(torch.fft.irfftn(spectrum, window.padded))


ROW = Method(
    name="tikhonov",
    stage="inversion",
    title="Tikhonov regularization",
    needs=("local_field",),
    function=f"{__name__}:tikhonov",
    equation="chi(k) = D f / (D^2 + weight)",
    when="To learn how a method is added.",
    parameters=(Parameter("weight", 0.01, "weight of |chi|^2", 1e-4, 1.0),),
    citation="Kressler et al., IEEE Trans Med Imaging 2010;29:273",
)


def main() -> dict[str, float]:
    """Run both methods on a local field with noise; return their errors in percent."""
    _, truth = scan_small_head()
    noise = np.random.default_rng(0).normal(0, 0.002, truth.mask.shape)
    maps = Maps(
        mask=torch.from_numpy(truth.mask),
        spacing_kji=truth.geometry.spacing_kji,
        b0_kji=truth.geometry.b0_kji,
        local_field=torch.from_numpy((truth.maps["local_field"] + noise).astype(np.float32)),
    )
    errors = {}
    for row in (ROW, catalogue.find("tkd", "inversion")):
        net = row.run(maps).numpy()
        errors[row.name] = demeaned_nrmse(net, truth.maps["net"], truth.mask)
        print(f"{row.name}: NRMSE of net chi {errors[row.name]:.0f} %")
    return errors


if __name__ == "__main__":
    main()
