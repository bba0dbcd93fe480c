"""Training of the networks on simulated heads.

``anatomies`` (people, refined once) -> ``heads`` (one varied head: sources, field, net chi)
-> ``pool`` (heads on disk, patches from them) -> ``scan_noise`` (R2' and what a scan spoils)
-> ``losses`` and ``loop``; ``recipes`` says what each network is trained on.
"""
