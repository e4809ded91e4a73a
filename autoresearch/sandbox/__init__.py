"""Confines a trial: an allow-list view of the machine, no network, no keys, nothing that outlives it.

Against mistakes and reward hacking; not against exploits of the kernel or of the GPU's driver. In bubblewrap a trial
has namespaces of its own. Under Landlock it shares the machine's: it sees that other processes and names of files
exist, may use /dev/shm and the Unix sockets of daemons, may change times and permissions of files that its user owns,
may write into `code/`, and before Linux 6.12 may send signals. In both, the trials of a tag share what compilers keep,
and could leave each other messages there. Text that lies elsewhere in a folder that is shown (a second copy of a
package under /usr, say) is not looked for.
"""

from autoresearch.sandbox.allowed import held_packages, package_files, training_data, view
from autoresearch.sandbox.confinement import OPEN, REMOTE, Confinement, View, command
from autoresearch.sandbox.probe import find

__all__ = [
    "OPEN",
    "REMOTE",
    "Confinement",
    "View",
    "command",
    "find",
    "held_packages",
    "package_files",
    "training_data",
    "view",
]
