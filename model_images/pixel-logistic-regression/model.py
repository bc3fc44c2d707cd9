"""Multinomial logistic regression on colours, and where in the image they are."""

import numpy as np

from czrun_kit import Images, Job, Prediction, main

TASKS = ("image-classification",)
BINS, RINGS, GRID = 8, 6, 6
QUANTILES = (5, 25, 50, 75, 95)


def fit(job: Job, images: Images) -> dict[str, np.ndarray]:
    """Standardise the features, fit on them."""
    from sklearn.linear_model import LogisticRegression  # only fit pays for this import

    X = features(images)
    centre, scale = X.mean(axis=0), X.std(axis=0)
    scale[scale == 0] = 1
    classifier = LogisticRegression(
        C=job.param("C", 0.3), max_iter=job.param("max_iter", 500), random_state=job.seed
    )
    classifier.fit((X - centre) / scale, images.labels)
    weights, intercepts = classifier.coef_, classifier.intercept_
    if len(intercepts) == 1:  # scikit-learn keeps one row for two classes: the first one's score is 0
        weights, intercepts = np.vstack([0 * weights, weights]), np.append(0, intercepts)
    return {
        "centre": centre,
        "scale": scale,
        "weights": weights,
        "intercepts": intercepts,
        "classes": classifier.classes_,
    }


def predict(job: Job, images: Images, model: dict[str, np.ndarray]) -> Prediction:
    """Softmax of the linear scores."""
    X = (features(images) - model["centre"]) / model["scale"]
    scores = X @ model["weights"].T + model["intercepts"]
    proba = np.exp(scores - scores.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    return Prediction.from_proba(proba, job.dataset.classes, model["classes"])


def features(images: Images) -> np.ndarray:
    """Return what is known of each image, shape (n_obs, n_features)."""
    return np.stack([describe(pixels) for pixels in images.pixels])


def describe(padded: np.ndarray) -> np.ndarray:
    """Return histograms, colours of the dark and the light part, of rings around the middle, of a grid."""
    pixels = without_padding(padded).astype(np.float64)
    shade = pixels.min(axis=2)
    is_dark = shade <= threshold(shade)
    histograms = [np.histogram(channel, BINS, (0, 256))[0] / channel.size for channel in pixels.T]
    return np.concatenate(
        [
            *histograms,
            [is_dark.mean()],
            statistics(pixels[is_dark]),
            statistics(pixels[~is_dark]),
            ring_colours(pixels),
            grid_colours(padded),
        ]
    )


def without_padding(pixels: np.ndarray) -> np.ndarray:
    """Cut off the rows and columns around an image that are 0 throughout."""
    filled = pixels.any(axis=2)
    rows, columns = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else pixels


def threshold(shade: np.ndarray) -> int:
    """Return the value, 0 to 255, that parts dark from light with the largest variance between (Otsu)."""
    counts = np.bincount(shade.astype(np.intp).ravel(), minlength=256)
    share = np.cumsum(counts) / counts.sum()
    sums = np.cumsum(counts * np.arange(256)) / counts.sum()
    weight = share * (1 - share)
    between = np.divide((sums[-1] * share - sums) ** 2, weight, out=np.zeros(256), where=weight > 0)
    return int(between.argmax())


def statistics(colours: np.ndarray) -> np.ndarray:
    """Return mean, deviation and quantiles of each channel; zeros where there is no pixel."""
    if len(colours) == 0:
        return np.zeros((2 + len(QUANTILES)) * colours.shape[1])
    moments = [colours.mean(axis=0), colours.std(axis=0)]
    return np.concatenate([*moments, *np.percentile(colours, QUANTILES, axis=0)])


def ring_colours(pixels: np.ndarray) -> np.ndarray:
    """Return mean and deviation of each channel in rings around the middle; the last takes the corners."""
    height, width, n_channels = pixels.shape
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    ring = np.minimum((np.hypot(y, x) * RINGS).astype(np.intp), RINGS)
    parts = [pixels[ring == at] for at in range(RINGS + 1)]
    return np.concatenate(
        [
            np.concatenate([part.mean(axis=0), part.std(axis=0)]) if len(part) else np.zeros(2 * n_channels)
            for part in parts
        ]
    )


def grid_colours(pixels: np.ndarray) -> np.ndarray:
    """Return the mean of each channel in the fields of a coarse grid."""
    rows, columns = (np.array_split(np.arange(size), min(GRID, size)) for size in pixels.shape[:2])
    fields = [pixels[np.ix_(row, column)].mean(axis=(0, 1)) for row in rows for column in columns]
    return np.concatenate(fields)


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
