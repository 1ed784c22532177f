"""Rasterise and shade triangles: z-buffer, shadow maps, microfacet shading (numba kernels, one thread each).

Pixel centres are integers, x right, y down; a larger depth is nearer to the viewer. Kernels release the lock,
so that frames run in parallel threads; each frame is computed by one thread and its bytes do not depend on
their number.
"""

import math

import numpy as np
from numba import njit

# Channels of the surface texture.
ALBEDO, SPECULAR, ROUGHNESS, BUMP = slice(0, 3), 3, 4, slice(5, 8)
CHANNELS = 8
# Columns of the sample table made by `gather`.
POSITION, NORMAL, SURFACE = slice(0, 3), slice(3, 6), slice(6, 11)
COLUMNS = 11


@njit(nogil=True, cache=True)
def _ceil(x):
    """Smallest integer not below ``x`` >= 0."""
    i = np.int32(x)
    return i + np.int32(1) if i < x else i


@njit(nogil=True, cache=True, error_model="numpy")
def rasterize(points, faces, cutout, uv, cut, height, width, front_only):
    """Nearest triangle of every pixel.

    Parameters
    ----------
    points : ndarray, shape (V, 3), float32
        x, y [px] and depth of every vertex.
    faces : ndarray, shape (F, 3), int32
        Vertex indices.
    cutout : ndarray of bool, shape (F,)
        True for faces whose texels may be cut away.
    uv : ndarray, shape (V, 2), float32
        Texel coordinates of every vertex.
    cut : ndarray, shape (Ht, Wt), float32
        A point of a ``cutout`` face exists where this is below 0.5 (bilinear).
    height, width : int
        Size of the picture.
    front_only : bool
        Leave out faces that turn their back to the viewer.

    Returns
    -------
    face : ndarray, shape (height, width), int32
        Index of the face, -1 where nothing is.
    depth : ndarray, shape (height, width), float32
        Its depth, -inf where nothing is.
    """
    face = np.full((height, width), -1, np.int32)
    depth = np.full((height, width), -np.inf, np.float32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay = points[a, 0], points[a, 1]
        bx, by = points[b, 0], points[b, 1]
        cx, cy = points[c, 0], points[c, 1]
        # Most triangles are smaller than a pixel and hit no pixel centre.
        top, bottom = min(ay, by, cy), max(ay, by, cy)
        left, right = min(ax, bx, cx), max(ax, bx, cx)
        if bottom < 0 or right < 0 or top > height - 1 or left > width - 1:
            continue
        # Most triangles are smaller than a pixel and hold no pixel centre.
        y0, y1 = _ceil(max(top, np.float32(0))), min(np.int32(bottom), height - 1)
        x0, x1 = _ceil(max(left, np.float32(0))), min(np.int32(right), width - 1)
        if y0 > y1 or x0 > x1:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # Outside faces run clockwise on the screen, where y points down.
        if abs(area) < 1e-9 or (front_only and area > 0):
            continue
        inverse = np.float32(1) / area
        az, bz, cz = points[a, 2], points[b, 2], points[c, 2]
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
                wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inverse
                wa = np.float32(1) - wb - wc
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                z = wa * az + wb * bz + wc * cz
                if z <= depth[y, x]:
                    continue
                if cutout[f]:
                    u = wa * uv[a, 0] + wb * uv[b, 0] + wc * uv[c, 0]
                    v = wa * uv[a, 1] + wb * uv[b, 1] + wc * uv[c, 1]
                    i, j = int(v), int(u)
                    i1, j1 = min(i + 1, cut.shape[0] - 1), min(j + 1, cut.shape[1] - 1)
                    fv, fu = v - i, u - j
                    hole = (1 - fv) * ((1 - fu) * cut[i, j] + fu * cut[i, j1])
                    hole += fv * ((1 - fu) * cut[i1, j] + fu * cut[i1, j1])
                    if hole >= 0.5:
                        continue
                depth[y, x] = z
                face[y, x] = f
    return face, depth


@njit(nogil=True, cache=True, error_model="numpy")
def vertex_normals(vertices, faces, weld):
    """Area-weighted unit vertex normals (V, 3); ``weld`` (V,) names the vertex that shares a seam's normal."""
    normals = np.zeros_like(vertices)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        bx, by, bz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
        cx, cy, cz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
        nx, ny, nz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        for k in (weld[a], weld[b], weld[c]):
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    for k in range(len(normals)):
        x, y, z = normals[weld[k], 0], normals[weld[k], 1], normals[weld[k], 2]
        if weld[k] == k:
            length = max(math.sqrt(x * x + y * y + z * z), 1e-20)
            x, y, z = x / length, y / length, z / length
        normals[k, 0], normals[k, 1], normals[k, 2] = x, y, z
    return normals


@njit(nogil=True, cache=True, error_model="numpy")
def barycentric(points, a, b, c, x, y):
    """Barycentric weights of pixel (x, y) in the triangle of the projected ``points`` a, b, c."""
    ax, ay = points[a, 0], points[a, 1]
    bx, by = points[b, 0] - ax, points[b, 1] - ay
    cx, cy = points[c, 0] - ax, points[c, 1] - ay
    inverse = np.float32(1) / (bx * cy - by * cx)
    wb = ((x - ax) * cy - (y - ay) * cx) * inverse
    wc = (bx * (y - ay) - by * (x - ax)) * inverse
    return np.float32(1) - wb - wc, wb, wc


@njit(nogil=True, cache=True, error_model="numpy")
def gather(face, points, faces, vertices, normals, uv, texture, rotation):
    """Surface under every covered sample: pixel index (N,), table (N, COLUMNS) of position, normal, surface.

    ``rotation`` (3, 3) turns the texture's bump vectors from rest pose to world.
    """
    height, width = face.shape
    count = 0
    for y in range(height):
        for x in range(width):
            count += face[y, x] >= 0
    index = np.empty(count, np.int32)
    table = np.empty((count, COLUMNS), np.float32)
    texel = np.empty(CHANNELS, np.float32)
    n = 0
    for y in range(height):
        for x in range(width):
            if face[y, x] < 0:
                continue
            f = face[y, x]
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            wa, wb, wc = barycentric(points, a, b, c, np.float32(x), np.float32(y))
            u = min(max(wa * uv[a, 0] + wb * uv[b, 0] + wc * uv[c, 0], np.float32(0)), np.float32(texture.shape[1] - 1))
            v = min(max(wa * uv[a, 1] + wb * uv[b, 1] + wc * uv[c, 1], np.float32(0)), np.float32(texture.shape[0] - 1))
            i, j = int(v), int(u)
            i1, j1 = min(i + 1, texture.shape[0] - 1), min(j + 1, texture.shape[1] - 1)
            fv, fu = np.float32(v - i), np.float32(u - j)
            for k in range(CHANNELS):
                top = (1 - fu) * texture[i, j, k] + fu * texture[i, j1, k]
                low = (1 - fu) * texture[i1, j, k] + fu * texture[i1, j1, k]
                texel[k] = (1 - fv) * top + fv * low
            length = np.float32(0)
            for k in range(3):
                table[n, k] = wa * vertices[a, k] + wb * vertices[b, k] + wc * vertices[c, k]
                bump = rotation[k, 0] * texel[5] + rotation[k, 1] * texel[6] + rotation[k, 2] * texel[7]
                value = wa * normals[a, k] + wb * normals[b, k] + wc * normals[c, k] + bump
                table[n, 3 + k] = value
                length += value * value
            scale = 1 / max(math.sqrt(length), 1e-12)
            for k in range(3):
                table[n, 3 + k] *= scale
            for k in range(5):
                table[n, 6 + k] = texel[k]
            index[n] = y * width + x
            n += 1
    return index, table


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def shade(index, table, light, shadow, frame, offset, samples_wide, supersample, weight, out):
    """Add one distant light's radiance, times ``weight`` (3,), to ``out`` (H, W, 3).

    Lambert diffuse plus GGX specular (Walter et al. 2007, doi:10.2312/EGWR/EGSR07/195-206) with Schlick's Fresnel
    term, view along +Z, unit irradiance on a surface that faces the light. ``frame`` (3, 4) takes a world point
    to shadow-map pixels and depth; ``offset`` = (normal offset [m], depth bias [m]).
    """
    size = shadow.shape[0]
    share = np.float32(1) / (supersample * supersample)
    # Half vector between the light and the viewer at +Z.
    half = math.sqrt(max(light[0] ** 2 + light[1] ** 2 + (light[2] + 1) ** 2, 1e-12))
    hx, hy, hz = light[0] / half, light[1] / half, (light[2] + 1) / half
    grazing = (1 - max(hz, np.float32(0))) ** 5
    for n in range(len(index)):
        nx, ny, nz = table[n, 3], table[n, 4], table[n, 5]
        cosine = nx * light[0] + ny * light[1] + nz * light[2]
        if cosine <= 0:
            continue
        slide = offset[0] * (1 - cosine * cosine)
        px, py, pz = table[n, 0] + slide * nx, table[n, 1] + slide * ny, table[n, 2] + slide * nz
        u = frame[0, 0] * px + frame[0, 1] * py + frame[0, 2] * pz + frame[0, 3]
        v = frame[1, 0] * px + frame[1, 1] * py + frame[1, 2] * pz + frame[1, 3]
        depth = frame[2, 0] * px + frame[2, 1] * py + frame[2, 2] * pz + frame[2, 3] + offset[1]
        lit = np.float32(1)
        if u >= 0 and v >= 0 and u < size - 1 and v < size - 1:
            i, j = int(v), int(u)
            fv, fu = v - i, u - j
            lit = (1 - fv) * ((1 - fu) * (shadow[i, j] <= depth) + fu * (shadow[i, j + 1] <= depth))
            lit += fv * ((1 - fu) * (shadow[i + 1, j] <= depth) + fu * (shadow[i + 1, j + 1] <= depth))
            if lit <= 0:
                continue
        specular = np.float32(0)
        view = max(nz, np.float32(0.05))
        nh = nx * hx + ny * hy + nz * hz
        if nh > 0:
            alpha = table[n, 10] * table[n, 10]
            a2 = alpha * alpha
            spread = nh * nh * (a2 - 1) + 1
            # GGX distribution times Smith's height-correlated visibility.
            mask = cosine * math.sqrt(a2 + (1 - a2) * view * view) + view * math.sqrt(a2 + (1 - a2) * cosine * cosine)
            fresnel = table[n, 9] * (np.float32(0.04) + np.float32(0.96) * grazing)
            specular = a2 / (math.pi * spread * spread) * np.float32(0.5) / mask * fresnel
        power = share * lit * cosine
        pixel = index[n]
        y = pixel // samples_wide // supersample
        x = pixel % samples_wide // supersample
        for k in range(3):
            out[y, x, k] += weight[k] * power * (table[n, 6 + k] / math.pi + specular)
