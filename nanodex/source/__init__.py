"""From a git address or a folder to the files of one snapshot, without trusting what is in it.

`repository.resolve` and `repository.checkout` read from a git server, `folder.open_folder` from a
disk; both end in a `checkout.Checkout`.

Nothing here ever checks out a work tree. git fetches into a bare repository, and this package lists
the tree, reads the blobs and writes regular files itself. A check-out would run filters, create
links, recurse into submodules and meet the file system's own ideas of names; each of those can be
switched off, but the list of switches has grown with every advisory. What is not run needs no
switch.
"""

from nanodex.source.folder import open_folder
from nanodex.source.repository import resolve

__all__ = ["open_folder", "resolve"]
