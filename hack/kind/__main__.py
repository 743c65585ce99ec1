"""`make kind-up`, `make kind-down`: a Kubernetes on this machine."""

import argparse
import sys
import time

from hack.debian import Lacks
from hack.images.tool import BuildFailed
from hack.kind import loading
from hack.kind.build import CannotBuild
from hack.kind.cluster import DEFAULT_NAME, Cluster, Failed, kubeconfig, product_images
from hack.kind.provider import find_provider, known_provider

_BEGIN = time.monotonic()


def tell(line: str) -> None:
    """Say how far we are."""
    print(f"[{time.monotonic() - _BEGIN:4.0f} s] {line}", file=sys.stderr, flush=True)


def up(name: str, *, nodes: int) -> None:
    """Make a cluster and give it the images that are there."""
    provider = find_provider(tell=tell)
    cluster = Cluster(name, provider=provider, tell=tell)
    cluster.up(nodes=nodes)
    tell(f"{nodes} node(s) ready, by {provider.tool.name}")
    loading.load(cluster, product_images(provider.tool))
    tell("done; for kubectl and helm:")
    print(f"export KUBECONFIG={kubeconfig(name)}")


def main() -> int:
    """Do what the Makefile asks for."""
    parser = argparse.ArgumentParser(prog="hack.kind", description=__doc__)
    parser.add_argument(
        "--name", default=DEFAULT_NAME, help="of the cluster; the context is kind-NAME"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("up", help="make a cluster and give it the images that are there")
    make.add_argument("--nodes", type=int, default=1, choices=(1, 2))
    load = commands.add_parser("load", help="give the cluster images")
    load.add_argument("reference", nargs="*", help="all of the product that are there, by default")
    commands.add_parser("down", help="remove the cluster")
    arguments = parser.parse_args()
    if not arguments.name.startswith(DEFAULT_NAME):
        parser.error(f"the name starts with {DEFAULT_NAME}: the tests trust no other context")
    try:
        if arguments.command == "up":
            up(arguments.name, nodes=arguments.nodes)
            return 0
        cluster = Cluster(arguments.name, provider=known_provider(), tell=tell)
        if arguments.command == "down":
            cluster.down()
        else:
            loading.load(cluster, arguments.reference or product_images(cluster.provider.tool))
    except (Lacks, BuildFailed, CannotBuild, Failed) as error:
        tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
