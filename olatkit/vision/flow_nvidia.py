"""Flow by the optical-flow engine of NVIDIA GPUs, where OpenCV was built with it."""

import numpy as np

from olatkit.errors import ConfigError

# Values of the enumerations NV_OF_PERF_LEVEL and NV_OF_OUTPUT_VECTOR_GRID_SIZE.
_SLOW, _ONE_PIXEL = 5, 1


def nvidia_flow(reference_srgb: np.ndarray, other_srgb: np.ndarray) -> np.ndarray:
    """Hardware flow at its slowest preset; with version 2 of the engine on a grid of one pixel.

    Parameters
    ----------
    reference_srgb, other_srgb : ndarray, shape (H, W, 3), uint8
        Pictures of equal exposure.

    Returns
    -------
    ndarray, shape (H, W, 2), float32
        (dx, dy) [px] on the grid of the reference, in steps of a quarter or a thirty-second of a pixel.

    Raises
    ------
    ConfigError
        OpenCV lacks the engine, or there is no GPU that has it.
    """
    import cv2

    from olatkit.vision.pair_flow import grey_of_srgb

    kind = getattr(cv2, "cuda_NvidiaOpticalFlow_2_0", None) or getattr(cv2, "cuda_NvidiaOpticalFlow_1_0", None)
    if kind is None:
        raise ConfigError(f"flow 'nvidia': OpenCV {cv2.__version__} was built without NVIDIA's optical flow; expected "
                          "a build with CUDA, opencv_contrib and the Optical Flow SDK; use flow 'dis'")
    if cv2.cuda.getCudaEnabledDeviceCount() == 0:
        raise ConfigError("flow 'nvidia': no CUDA device was found; use flow 'dis'")
    height, width = reference_srgb.shape[:2]
    try:
        fine_grid = {"outputGridSize": _ONE_PIXEL} if kind.__name__.endswith("2_0") else {}
        engine = kind.create((width, height), perfPreset=_SLOW, **fine_grid)
        raw, _cost = engine.calc(grey_of_srgb(reference_srgb), grey_of_srgb(other_srgb), None)
        if hasattr(engine, "convertToFloat"):
            flow = engine.convertToFloat(raw, None)
        else:
            flow = engine.upSampler(raw, (width, height), engine.getGridSize(), None)
        engine.collectGarbage()
    except cv2.error as error:
        raise ConfigError(f"flow 'nvidia': {' '.join(str(error).split())}; use flow 'dis'") from error
    if flow.shape[:2] != (height, width):
        # The engine of some GPUs answers on a coarser grid; its vectors are pixels of the full picture.
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(flow, np.float32)
