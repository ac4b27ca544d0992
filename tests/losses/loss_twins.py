"""Every loss as one would write it on paper: NumPy, image by image and class by class."""

import numpy as np
from scipy import ndimage, special


def np_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def np_bce(x, y):
    p = np_sigmoid(x)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def np_overlap(x, y, *, alpha=0.5, beta=0.5, form, per_image=True, cost=lambda index: 1 - index):
    """Image by image and class by class, as one would on paper."""
    p = np_sigmoid(x)
    if not per_image:
        p, y, x = (np.moveaxis(a, 0, 1).reshape(1, a.shape[1], -1, 1) for a in (p, y, x))
    terms = []
    for n in range(len(p)):
        for c in range(p.shape[1]):
            a, b = p[n, c], y[n, c]
            common = np.minimum(a, b).sum() if form == "semimetric" else (a * b).sum()
            mine, theirs = ((a**2).sum(), (b**2).sum()) if form == "squared" else (a.sum(), b.sum())
            index = common / (common + alpha * (mine - common) + beta * (theirs - common))
            there = min(theirs, 1)  # below one pixel, by that share
            terms.append((there and there * cost(index)) + (1 - there) * np_bce(x[n, c], b).mean())
    return np.mean(terms)


def np_focal(x, y, *, gamma=2.0, alpha=None):
    weight = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return (weight * np.abs(y - np_sigmoid(x)) ** gamma * np_bce(x, y)).mean()


def np_weighted_bce(x, y, *, label_smoothing=0.0, pos_weight=1.0):
    y = y * (1 - label_smoothing) + label_smoothing / 2
    p, w = np_sigmoid(x), np.reshape(pos_weight, (-1, 1, 1))
    return -(w * y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


def np_mean(x, y, term, *, absent):
    """The mean of term(x, y) over planes, cross-entropy where absent(y)."""
    terms = [
        np_bce(x[n, c], y[n, c]).mean() if absent(y[n, c]) else term(x[n, c], y[n, c])
        for n in range(len(x))
        for c in range(x.shape[1])
    ]
    return np.mean(terms)


def np_generalised_dice(x, y, *, power=2.0):
    costs = []
    for image, truth in zip(np_sigmoid(x), y):
        present = truth.sum((1, 2)) > 0
        p, t = image[present], truth[present]
        weight = t.sum((1, 2)) ** -power
        together = 1 - 2 * (weight * (p * t).sum((1, 2))).sum() / (weight * (p**2 + t**2).sum((1, 2))).sum()
        absent = -np.log(1 - image[~present]).mean((1, 2)).sum()
        costs.append((together * present.sum() + absent) / len(truth))
    return np.mean(costs)


def np_topk(x, y, *, share, threshold=None, per_image=True):
    costs = np_bce(x, y) - special.entr(y) - special.entr(1 - y)
    if not per_image:
        costs = np.moveaxis(costs, 0, 1)[None]
    terms = []
    for image in costs:
        for plane in image:
            ranked = np.sort(plane, axis=None)[::-1]
            chosen = int(np.ceil(share * ranked.size))
            if threshold is not None:
                chosen = max(chosen, int((ranked > -np.log(threshold)).sum()))
            terms.append(ranked[:chosen].mean())
    return np.mean(terms)


def np_lovasz(x, y, *, probs=False):
    """The sum over ranks of error times the growth of 1 - Jaccard, which is counted anew at each rank."""

    def term(x, y):
        x, y = x.ravel(), y.ravel()
        if probs:
            errors = np.abs(np_sigmoid(x) - y)
        else:
            goal = np.clip(np.log(np.clip(y, 1e-9, 1 - 1e-9) / (1 - np.clip(y, 1e-9, 1 - 1e-9))), -1, 1)
            free = (goal == 1) & (x > 1) | (goal == -1) & (x < -1)
            errors = np.where(free, 0, np.abs(x - goal))
        order = np.argsort(-errors)
        total = before = 0.0
        for rank in range(1, len(order) + 1):
            wrong = order[:rank]
            after = 1 - (y.sum() - y[wrong].sum()) / (y.sum() + (1 - y[wrong]).sum())
            total += errors[order[rank - 1]] * (after - before)
            before = after
        return total

    return np_mean(x, y, term, absent=lambda y: not y.any())


def np_signed(mask):
    """Pixel by pixel the distance to the nearest of the other kind, less half a pixel, in diagonals."""
    inside, outside = np.argwhere(mask), np.argwhere(~mask)
    signed = np.zeros(mask.shape)
    for at in np.ndindex(mask.shape):
        others, sign = (outside, -1) if mask[at] else (inside, 1)
        signed[at] = sign * (np.linalg.norm(others - at, axis=1).min() - 0.5)
    return signed / np.hypot(*mask.shape)


def no_contour(y):
    return not (y > 0.5).any() or (y > 0.5).all()


def np_boundary(x, y):
    def term(x, y):
        return (np_signed(y > 0.5) * (np_sigmoid(x) - (y > 0.5))).mean()

    return np_mean(x, y, term, absent=no_contour)


def np_hausdorff(x, y, *, alpha=2.0):
    def term(x, y):
        p, hard = np_sigmoid(x), y > 0.5
        found = p > 0.5
        own, other = np.abs(np_signed(hard)), 0 if no_contour(p) else np.abs(np_signed(found))
        return ((p - hard) ** 2 * (own**alpha + other**alpha)).mean()

    return np_mean(x, y, term, absent=no_contour)


def np_skeleton(plane, iterations):
    cross = ndimage.generate_binary_structure(2, 1)

    def eroded(a):
        return ndimage.grey_erosion(a, footprint=cross, mode="nearest")

    def lost(a):
        return np.maximum(a - ndimage.grey_dilation(eroded(a), size=(3, 3), mode="nearest"), 0)

    skeleton = lost(plane)
    for _ in range(iterations):
        plane = eroded(plane)
        skeleton = skeleton + np.maximum(lost(plane) - skeleton * lost(plane), 0)
    return skeleton


def np_cldice(x, y, *, iterations):
    def term(x, y):
        p, hard = np_sigmoid(x), (y > 0.5).astype(float)
        own, line = np_skeleton(p, iterations), np_skeleton(hard, iterations)
        precision, sensitivity = ((own * hard).sum() + 1) / (own.sum() + 1), ((line * p).sum() + 1) / (line.sum() + 1)
        return 1 - 2 * precision * sensitivity / (precision + sensitivity)

    return np_mean(x, y, term, absent=no_contour)
