"""The regions in a report: means as bars beside the published ranges."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from QSMSeparationLib.anatomy.published import CAUTION, SOURCE, range_of
from QSMSeparationLib.anatomy.regions import Region
from QSMSeparationLib.data.quantities import IN_LESIONS, MAPS, Quantity

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _BOTTOM = 560, 210, 16, 20, 8, 40
_SIDE_COLORS = {"left": "#0072B2", "right": "#D55E00", "": "#767676"}


def region_note() -> str:
    """Return what the numbers of regions mean, and where the published ones come from."""
    return (
        "Voxels at the edge of a region are left out. z: distance from the mean of "
        f"{SOURCE}, in its SD over people. {CAUTION}"
    )


def region_maps(regions: Sequence[Region]) -> list[Quantity]:
    """Return the maps that were measured."""
    return [MAPS[name] for name in IN_LESIONS if regions and name in regions[0].values]


def region_charts(regions: Sequence[Region]) -> list[Markup]:
    """Return bars of chi+ and |chi-| beside the published ranges."""
    return [
        region_bars(regions, row.name)
        for row in region_maps(regions)
        if row.name in ("chi_para", "chi_dia")
    ]


def region_bars(regions: Sequence[Region], name: str) -> Markup:
    """Return means of the regions that have a published range, as bars with that range."""
    shown = [one for one in regions if range_of(one.name) is not None]
    quantity = MAPS[name]
    published = [_published(one.name, name) for one in shown]
    top = max(
        [one.values[name].mean for one in shown] + [mean + 2 * sd for mean, sd in published],
        default=1.0,
    )
    scale = (_WIDTH - _LEFT - _RIGHT) / max(top * 1.05, 1e-3)
    height = _TOP + _ROW * len(shown) + _BOTTOM
    body = [
        _bar(one, name, *limits, _TOP + _ROW * n, scale)
        for n, (one, limits) in enumerate(zip(shown, published, strict=True))
    ]
    label = f"Mean {quantity.title} of the regions; grey: published mean and two SD to each side"
    axis = _axis(top, scale, height, f"{quantity.title} [{quantity.unit_on_screen}]")
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="group" '
        f'aria-label="{escape(label)}">{"".join(body)}{axis}</svg>'
    )


def _published(region: str, name: str) -> tuple[float, float]:
    found = range_of(region)
    assert found is not None
    return (found.para, found.para_sd) if name == "chi_para" else (found.dia, found.dia_sd)


def _bar(one: Region, name: str, mean: float, sd: float, y: float, scale: float) -> str:
    low, high = max(0.0, mean - 2 * sd), mean + 2 * sd
    side = one.name.split(" ")[0] if one.name.startswith(("left ", "right ")) else ""
    value = max(0.0, one.values[name].mean)
    words = f"{one.name}: {one.values[name].mean:.1f}, published {mean:.1f} ± {sd:.1f} ppb"
    return (
        f"<g><title>{escape(words)}</title>"
        f'<text x="{_LEFT - 8}" y="{y + 14:.1f}" text-anchor="end">{escape(_short(one.name))}</text>'
        f'<rect class="band" x="{_LEFT + low * scale:.1f}" y="{y + 2:.1f}" '
        f'width="{(high - low) * scale:.1f}" height="{_ROW - 4}"/>'
        f'<rect x="{_LEFT}" y="{y + 6:.1f}" width="{value * scale:.1f}" height="{_ROW - 12}" '
        f'fill="{_SIDE_COLORS[side]}"/></g>'
    )


def _short(name: str) -> str:
    return name.replace("substantia nigra and subthalamic nucleus", "substantia nigra, STN")


def _axis(top: float, scale: float, height: int, title: str) -> str:
    bottom = height - _BOTTOM
    step = next(s for s in (5, 10, 20, 25, 50, 100, 200, 500, 1000) if top / s <= 8 or s == 1000)
    parts = [f'<path class="axis" d="M{_LEFT},{_TOP}V{bottom}H{_WIDTH - _RIGHT}"/>']
    for value in range(0, int(top) + 1, step):
        x = _LEFT + value * scale
        parts.append(f'<path class="axis" d="M{x:.1f},{bottom}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{value}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle:.1f}" y="{height - 6}" text-anchor="middle">{escape(title)}</text>'
    )
    return "".join(parts)
