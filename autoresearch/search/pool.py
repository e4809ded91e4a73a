"""What trials share: amounts of resources, and GPUs by number, for as many trials as fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GPU = "gpu"


@dataclass
class Pool:
    """Resources of one machine or cluster."""

    capacity: Mapping[str, float]
    """What there is of each; what is not named is not limited."""
    devices: Sequence[str] = ()
    """Names of the GPUs, as CUDA_VISIBLE_DEVICES spells them; empty: trials are not bound to any."""
    most: int = 1
    """Trials at once."""
    held: dict[int, Mapping[str, float]] = field(default_factory=dict)
    """By trial, what it takes."""
    bound: dict[int, list[str]] = field(default_factory=dict)
    """By trial, its GPUs."""

    def room(self, cost: Mapping[str, float]) -> int:
        """How many more trials of this cost could be begun now."""
        found = self.most - len(self.held)
        for name, amount in cost.items():
            if name in self.capacity and amount > 0:
                used = sum(one.get(name, 0.0) for one in self.held.values())
                found = min(found, int((self.capacity[name] - used) / amount + 1e-9))
        if self.devices and 0 < (share := cost.get(GPU, 0.0)) < 1:  # it lies on one device
            found = min(found, sum(int((1 - load) / share + 1e-9) for load in self._loads().values()))
        return max(0, found)

    def _loads(self) -> dict[str, float]:
        """What trials take of each GPU."""
        loads = dict.fromkeys(self.devices, 0.0)
        for number, names in self.bound.items():
            for name in names:
                loads[name] += self.held[number].get(GPU, 0.0) / len(names)
        return loads

    def claim(self, number: int, cost: Mapping[str, float]) -> list[str]:
        """Take the resources of a trial that fits; returns the GPUs that it may see, least used first."""
        self.held[number] = dict(cost)
        share = cost.get(GPU, 0.0)
        if not self.devices or share <= 0:
            return []
        loads = self._loads()
        wanted = max(1, round(share))
        self.bound[number] = sorted(loads, key=lambda device: (loads[device], self.devices.index(device)))[:wanted]
        return self.bound[number]

    def release(self, number: int) -> None:
        """Give back what a trial took."""
        self.held.pop(number, None)
        self.bound.pop(number, None)
