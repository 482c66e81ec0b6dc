"""Images that lie on the devices, each of which holds an equal part of them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def place_images(mesh: Mesh, images: np.ndarray) -> jax.Array:
    """Divides images uint8 [N, h, w, 3] among the devices of a mesh of one axis.

    Each process reads only what its own devices hold. Where N is no multiple of the number of
    devices, some images at the end are zeros.
    """
    num_devices = mesh.size
    num_padded = -(-len(images) // num_devices) * num_devices
    sharding = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))

    def part(index: tuple[slice, ...]) -> np.ndarray:
        first, last, _ = index[0].indices(num_padded)
        found = np.asarray(images[first:last])
        missing = last - first - len(found)
        return np.pad(found, ((0, missing), *[(0, 0)] * (images.ndim - 1))) if missing else found

    return jax.make_array_from_callback((num_padded, *images.shape[1:]), sharding, part)


def gatherer(mesh: Mesh, images: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """A function of rows int32 [b], divided among the devices, to their images uint8 [b, h, w, 3].

    Each device looks up those that it holds of the whole batch, and the sums of what they found are
    divided again: whole images travel once, and none of those that are not asked for.
    """
    if mesh.size == 1:
        return lambda rows: jnp.take(images, rows, axis=0)
    (axis,) = mesh.axis_names

    def local(images: jax.Array, rows: jax.Array) -> jax.Array:
        rows = jax.lax.all_gather(rows, axis, tiled=True)
        rows -= jax.lax.axis_index(axis) * len(images)
        is_own = (rows >= 0) & (rows < len(images))
        found = jnp.take(images, jnp.clip(rows, 0, len(images) - 1), axis=0)
        found = jnp.where(is_own[:, None, None, None], found, 0)
        return jax.lax.psum_scatter(found, axis, tiled=True)

    divided = PartitionSpec(axis)
    gather = jax.shard_map(local, mesh=mesh, in_specs=(divided, divided), out_specs=divided)
    return lambda rows: gather(images, rows)
