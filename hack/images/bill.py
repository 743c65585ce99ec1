"""The bill of materials of an image, as CycloneDX JSON: the same image gives the same bytes."""

import json
import uuid
from collections.abc import Sequence

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from hack.images.contents import Package

_NAMESPACES = {"deb": "debian", "pypi": None}


def bill_of_materials(image: str, *, version: str, packages: Sequence[Package]) -> str:
    """Return the bill of an image as CycloneDX 1.6 JSON.

    Args:
        image: The image's repository.
        version: Its tag.
        packages: What is in it.

    Raises:
        ValueError: the result is not what the schema wants.
    """
    licences = LicenseFactory()
    bom = Bom()
    bom.metadata.component = Component(
        name=image, version=version, type=ComponentType.CONTAINER, bom_ref=image
    )
    for package in packages:
        url = PackageURL(package.kind, _NAMESPACES[package.kind], package.name, package.version)
        bom.components.add(
            Component(
                name=package.name,
                version=package.version,
                type=ComponentType.LIBRARY,
                bom_ref=url.to_string(),
                purl=url,
                description=package.summary or None,
                licenses=_licences(licences, package.licences),
            )
        )
    bom.register_dependency(bom.metadata.component, bom.components)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    document = json.loads(text)
    # When and by which run it was written says nothing about the image.
    document["metadata"].pop("timestamp", None)
    document.pop("serialNumber", None)
    unnamed = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, unnamed)}"
    result = json.dumps(document, indent=1, sort_keys=True) + "\n"
    # It builds the grammars of every format that a schema may name, which takes seconds.
    from cyclonedx.validation.json import JsonStrictValidator

    if (wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(result)) is not None:
        raise ValueError(f"the bill of {image} is not CycloneDX: {wrong}")
    return result


def _licences(factory: LicenseFactory, names: Sequence[str]) -> list[License]:
    if len(names) == 1:
        return [factory.make_from_string(names[0])]
    # A list may hold no expression: each name stands for itself.
    return [factory.make_with_name(name) for name in names]
