"""The row of the catalogue. Nothing here imports torch: Slicer reads it in its own process."""

from QSMSeparationLib.data.method import Method, Parameter

ROWS = (
    Method(
        name="medi",
        stage="inversion",
        title="MEDI (morphology enabled dipole inversion)",
        needs=("local_field",),
        function="qsmsep_medi.medi:medi",
        equation="min lambda/2 |W (D chi - f)|^2 + |M grad chi|_1, M = 0 on edges",
        when="To compare with the published method.",
        parameters=(
            Parameter("data_weight", 1.0, "multiplies the automatic lambda", 0.05, 20.0),
            Parameter("edge_share", 0.3, "share of the steps that are edges", 0.0, 0.9),
            Parameter("newton_steps", 8, "most steps of the outer iteration", 1, 50),
            Parameter("merit", True, "trust voxels less that the model does not explain"),
        ),
        citation="Liu et al., NeuroImage 2012;59:2560; merit: Liu et al., Magn Reson Med 2013;69:467",
    ),
)
