"""Hair as a shell around the head: where it grows, how thick it stands, and its strands."""

import numpy as np

from olatkit.simulate.identity import Identity

# Lower edge of the hair [m] by azimuth [degrees from the face], for cropped and for falling hair.
_AZIMUTH = [0, 14, 28, 40, 52, 62, 70, 77, 84, 90, 98, 106, 118, 140, 180]
_EDGES = {
    "cropped": [93, 92, 88, 82, 70, 52, 32, 4, -6, 18, 20, -22, -50, -62, -66],
    "bob": [66, 66, 65, 62, 50, 16, -50, -88, -94, -96, -96, -96, -96, -96, -96],
    "long": [101, 92, 78, 60, 34, 0, -80, -150, -165, -170, -170, -170, -170, -170, -170],
}  # millimetres
# Height above the scalp [m] at the sides and on the top.
_THICKNESS = {
    "buzz": (0.0022, 0.0030), "short": (0.0060, 0.0150), "swept": (0.0065, 0.0210), "bob": (0.0120, 0.0150),
    "long": (0.0100, 0.0140),
}
# Falling hair hangs on an ellipsoid: half axes and middle [m].
_CURTAINS = {
    "bob": ((0.101, 0.150, 0.098), (0.0, -0.020, -0.022)),
    "long": ((0.103, 0.215, 0.096), (0.0, -0.055, -0.026)),
}


def hair_edge(identity: Identity, points: np.ndarray) -> np.ndarray:
    """Height of ``points`` (..., 3) over the hair's lower edge at their azimuth [m]; negative is bare skin."""
    table = np.array(_EDGES.get(identity.hair_style, _EDGES["cropped"])) / 1000
    azimuth = np.degrees(np.arctan2(points[..., 0], points[..., 2]))
    return points[..., 1] - np.interp(np.abs(azimuth), _AZIMUTH, table)


def hair_grid(identity: Identity, head: np.ndarray) -> np.ndarray:
    """Points of the hair's surface over the points of the bald ``head`` (rows, columns, 3)."""
    radius = np.linalg.norm(head, axis=-1, keepdims=True)
    direction = head / radius
    sides, top = _THICKNESS[identity.hair_style]
    up = np.clip((direction[..., 1] - 0.25) / 0.6, 0, 1)
    thickness = sides + (top - sides) * up * up * (3 - 2 * up)
    rng = np.random.default_rng([identity.texture_seed, 3])
    if identity.hair_style == "swept":
        parting = rng.choice([-1.0, 1.0])
        front = np.exp(-(((direction[..., 1] - 0.72) / 0.22) ** 2)) * np.clip(direction[..., 2], 0, 1)
        thickness = thickness + 0.010 * front * (1 + 0.7 * parting * np.clip(direction[..., 0] * 2.5, -1, 1))
    azimuth = np.arctan2(head[..., 0], head[..., 2])
    if identity.hair_style != "buzz":
        for k in (5, 9, 14):
            phase = rng.uniform(0, 2 * np.pi)
            thickness = thickness * (1 + 0.05 * np.sin(k * azimuth + phase + 3 * direction[..., 1]))
    edge = np.clip(hair_edge(identity, head) / 0.022, 0, 1)
    thickness = np.maximum(thickness * edge * (2 - edge), 0.0006)
    grown = radius[..., 0] + thickness
    if identity.hair_style in ("bob", "long"):
        half, middle = _CURTAINS[identity.hair_style]
        curtain = _ray_ellipsoid(direction, np.array(middle), np.array(half) * [identity.width, 1, 1])
        curtain = curtain * (1 + 0.012 * np.sin(11 * azimuth) + 0.008 * np.sin(23 * azimuth + 1))
        soft = np.clip((0.35 - direction[..., 1]) / 0.35, 0, 1)
        grown = np.where(curtain > grown, grown + (curtain - grown) * soft, grown)
    return direction * grown[..., None]


def _ray_ellipsoid(direction: np.ndarray, middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Distance from the origin (inside) to an ellipsoid along unit directions."""
    d, m = direction / half, middle / half
    a, b, c = (d * d).sum(-1), -(d * m).sum(-1), (m * m).sum() - 1
    return (-b + np.sqrt(np.maximum(b * b - a * c, 0))) / a


def hair_cut(identity: Identity, points: np.ndarray, strands: np.ndarray) -> np.ndarray:
    """Cut-out value of the shell: above 0.5 is nothing. The edge frays along ``strands`` (any noise around 0)."""
    fray = {"buzz": 0.0015, "short": 0.005, "swept": 0.006, "bob": 0.006, "long": 0.010}[identity.hair_style]
    return np.clip(0.5 - (hair_edge(identity, points) + fray * strands) / 0.004, 0, 1)
