"""Cells that overlap: a pixel's light shared by the lights around it, for smoother changes when the light turns.

Both methods give every pixel's solid angle away whole, so that power is kept; what they blur is where light comes from,
by about one cell. Voronoi cells (:mod:`olatkit.render.cells`) stay the default.
"""

from typing import Any

import numpy as np

from olatkit.geometry import latlong_directions, row_solid_angles
from olatkit.wording import counted

# Lights whose lobe is this much fainter than the nearest light's get nothing: 43 degrees away.
LOBE_FLOOR = 1e-4
# Pixels are cut until they are smaller than this, for a triangle's edge to run between the pieces.
PIECE_DEG = 1.5
# Planes of neighbouring faces that differ by no more than rounding.
COPLANAR = 1e-9

Overlaps = tuple[np.ndarray, np.ndarray, np.ndarray]


def barycentric_overlaps(directions: np.ndarray, height: int, width: int, *, max_angle_rad: float = np.pi) -> Overlaps:
    """Share every pixel among the corners of the spherical Delaunay triangle around it.

    Parameters
    ----------
    directions : ndarray, shape (L, 3)
        Unit vectors, at least four and not all in one plane.
    height, width : int
        Pixels of the map.
    max_angle_rad : float
        Light farther than this from every light is left out.

    Returns
    -------
    solid_angles, lights, pixels : ndarray, shape (n,)
        As :func:`olatkit.render.cells.voronoi_overlaps` returns them.

    Raises
    ------
    ValueError
        Fewer than four lights, or all in one plane.

    Notes
    -----
    A corner's share is the solid angle of the triangle that the point forms with the other two corners, over the sum of
    the three. Four or more lights on one circle, as a symmetric dome has them, form a polygon with no preferred
    triangles: its shares are the mean over the fans of triangles from each of its corners, so that a turned or mirrored
    rig gives turned or mirrored weights. Points that no triangle encloses, below a partial dome, go to the nearest light.
    """
    points, areas, pixels = _pieces(height, width)
    near, lit = _nearest_lights(directions, points, max_angle_rad)
    points, areas, pixels, near = points[lit], areas[lit], pixels[lit], near[lit]
    corners, polygons, planes = _delaunay(directions)
    values, lights, owners = [], [], []
    enclosing = _enclosing_polygons(points, planes)
    order = np.argsort(enclosing, kind="stable")
    starts = np.searchsorted(enclosing[order], np.arange(len(planes) + 1))
    total = np.zeros(len(points))
    for triangle, polygon in zip(corners, polygons, strict=True):
        inside = order[starts[polygon] : starts[polygon + 1]]
        shares, enclosed = _triangle_shares(points[inside], directions[triangle])
        inside, shares = inside[enclosed], shares[enclosed]
        total[inside] += 1
        values.append(shares.ravel())
        lights.append(np.tile(triangle, len(inside)))
        owners.append(np.repeat(inside, 3))
    outside = np.flatnonzero(total == 0)
    total[outside] = 1
    share = np.concatenate([*values, np.ones(len(outside))])
    light = np.concatenate([*lights, near[outside]])
    owner = np.concatenate([*owners, outside])
    return share / total[owner] * areas[owner], light, pixels[owner]


def lobe_overlaps(directions: np.ndarray, height: int, width: int, *, max_angle_rad: float = np.pi) -> Overlaps:
    """Share every pixel among all lights near it, by a cosine lobe max(0, ω·d)^30 around each.

    Parameters and results as :func:`barycentric_overlaps`, for any number of lights. A point farther than 90 degrees
    from every light goes to the nearest one.
    """
    points, areas = latlong_directions(height, width).reshape(-1, 3), np.repeat(row_solid_angles(height, width), width)
    near, lit = _nearest_lights(directions, points, max_angle_rad)
    values, lights, owners = [], [], []
    for start in range(0, len(points), 1 << 15):
        cosine = points[start : start + (1 << 15)] @ directions.T
        squared = np.maximum(cosine, 0) ** 2
        fourth = squared**2
        eighth = fourth**2
        lobe = squared * fourth * eighth * eighth**2  # the 30th power; np.power takes ten times as long
        lobe[lobe < LOBE_FLOOR * lobe.max(axis=1, keepdims=True)] = 0
        lost = np.flatnonzero(lobe.max(axis=1) == 0)
        lobe[lost, near[start + lost]] = 1
        lobe /= lobe.sum(axis=1, keepdims=True)
        lobe[~lit[start : start + len(lobe)]] = 0
        pixel, light = np.nonzero(lobe)
        values.append(lobe[pixel, light] * areas[start + pixel])
        lights.append(light)
        owners.append(start + pixel)
    return np.concatenate(values), np.concatenate(lights), np.concatenate(owners)


def _pieces(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (n, 3), solid angles and pixel indices of the pieces into which pixels are cut."""
    down, across = (max(1, int(np.ceil(degrees / PIECE_DEG))) for degrees in (180 / height, 360 / width))
    points = latlong_directions(height * down, width * across).reshape(-1, 3)
    areas = np.repeat(row_solid_angles(height * down, width * across), width * across)
    row, column = np.divmod(np.arange(len(points)), width * across)
    return points, areas, row // down * width + column // across


def _nearest_lights(directions: np.ndarray, points: np.ndarray, max_angle_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """Index of the light nearest to every point, and whether it is within the angle."""
    from scipy.spatial import cKDTree

    chord, near = cKDTree(directions).query(points)
    return near, chord <= 2 * np.sin(max_angle_rad / 2)


def _delaunay(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces of the lights' convex hull: triangles (T, 3), the polygon of each (T,), and the polygons' planes (P, 4)."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(directions)
    except (QhullError, ValueError) as error:
        raise ValueError(f"{counted(len(directions), 'light')} in one plane, barycentric weights need at least four that "
                         "are not; use method voronoi") from error
    polygon, planes = _merge_coplanar(hull)
    triangles, owners = [], []
    for index in range(len(planes)):
        corners = _around(directions, np.unique(hull.simplices[polygon == index]), planes[index, :3])
        fans = [corners] if len(corners) == 3 else [np.roll(corners, -turn) for turn in range(len(corners))]
        for fan in fans:
            triangles += [(fan[0], fan[k], fan[k + 1]) for k in range(1, len(fan) - 1)]
            owners += [index] * (len(fan) - 2)
    return np.array(triangles), np.array(owners), planes


def _merge_coplanar(hull: Any) -> tuple[np.ndarray, np.ndarray]:
    """Polygon index of every triangle of a hull, and the plane of each polygon.

    Neighbours in one plane are one polygon, which the hull has cut into arbitrary triangles.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    triangle, side = np.indices(hull.neighbors.shape)
    neighbour = hull.neighbors[triangle, side]
    flat = np.abs(hull.equations[triangle] - hull.equations[neighbour]).max(axis=-1) < COPLANAR
    links = coo_array((np.ones(int(flat.sum())), (triangle[flat], neighbour[flat])), shape=(len(hull.neighbors),) * 2)
    _, polygon = connected_components(links, directed=False)
    return polygon, hull.equations[np.unique(polygon, return_index=True)[1]]


def _around(directions: np.ndarray, corners: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Corners of a face in counter-clockwise order as seen from outside."""
    gap = directions[corners] - directions[corners].mean(axis=0)
    right = gap[0]
    return corners[np.argsort(np.arctan2(gap @ np.cross(normal, right), gap @ right))]


def _enclosing_polygons(points: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """The face through which the ray to every point leaves the hull, (n,); rays that miss it get any face."""
    ahead = np.flatnonzero(planes[:, 3] < 0)  # faces that turn their outer side away from the subject
    out = np.empty(len(points), np.int64)
    for start in range(0, len(points), 1 << 15):
        # The plane n·x = -o is reached after -o / (n·p): the largest of its inverses comes first.
        nearness = points[start : start + (1 << 15)] @ (planes[ahead, :3] / -planes[ahead, 3:]).T
        out[start : start + len(nearness)] = ahead[nearness.argmax(axis=1)]
    return out


def _triangle_shares(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares (n, 3) of three corners at points, and whether the spherical triangle encloses each."""
    a, b, c = corners
    opposite = np.stack([_solid_angle(points, *pair) for pair in ((b, c), (c, a), (a, b))], axis=1)
    enclosed = np.min(opposite, axis=1) > -1e-12
    opposite = np.maximum(opposite, 0)
    return opposite / np.maximum(opposite.sum(axis=1, keepdims=True), 1e-300), enclosed


def _solid_angle(points: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Signed solid angle of the triangles (point, b, c) (van Oosterom and Strackee 1983)."""
    return 2 * np.arctan2(points @ np.cross(b, c), 1 + points @ b + b @ c + points @ c)
