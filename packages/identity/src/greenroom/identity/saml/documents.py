"""Safe XML, and the permitted structure of a SAML response.

Different parsers must never see different content in a response. Greenroom therefore accepts only elements,
attributes and text: no document types, entities, comments, CDATA sections and processing instructions. A signature must
be a direct child of the element that it signs, and a response contains exactly one assertion. An attacker can therefore
not move a signed assertion to a place where it is verified but not read (signature wrapping).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree as DefusedTree
from defusedxml import DefusedXmlException

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
RESPONSE: Final = f"{{{SAMLP}}}Response"
ASSERTION: Final = f"{{{SAML}}}Assertion"
ENCRYPTED: Final = f"{{{SAML}}}EncryptedAssertion"
SIGNATURE: Final = f"{{{DS}}}Signature"

MAX_BYTES: Final = 512 * 1024
"""Maximum size of a message. An assertion with thousands of groups has some 100,000 bytes."""
MAX_DEPTH: Final = 40
MAX_ID_CHARACTERS: Final = 255
_DECLARATION: Final = re.compile(r"\s*<\?xml\s[^?]*\?>")
_ENCODING: Final = re.compile(r"""encoding\s*=\s*["'](?!utf-8["'])""", re.IGNORECASE)
_ID_ATTRIBUTES: Final = frozenset({"id", "{http://www.w3.org/xml/1998/namespace}id"})

_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
SIGNATURES: Final = frozenset(f"{_MORE}{key}-sha{bits}" for key in ("rsa", "ecdsa") for bits in (256, 384, 512))
DIGESTS: Final = frozenset({f"{XENC}sha256", f"{_MORE}sha384", f"{XENC}sha512"})
_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED: Final = f"{DS}enveloped-signature"
CIPHERS: Final = frozenset(f"{XENC}aes{bits}-cbc" for bits in (128, 192, 256)) | frozenset(
    f"http://www.w3.org/2009/xmlenc11#aes{bits}-gcm" for bits in (128, 192, 256)
)
KEY_CIPHERS: Final = frozenset({f"{XENC}rsa-oaep-mgf1p", "http://www.w3.org/2009/xmlenc11#rsa-oaep"})
"""Permitted encryptions of keys. RSA with PKCS#1 v1.5 is not secure against chosen ciphertexts."""
_REMOTE: Final = frozenset({"CipherReference", "RetrievalMethod", "KeyInfoReference"})
"""Elements that could make a program read content from another place."""


class SamlRefused(Exception):  # noqa: N818 -- as SignOnRefused
    """A SAML message is refused; the message is the cause, as a sentence. If `may_be_new_key` is True, the provider may
    have new certificates, so the caller reads the metadata again and repeats the check."""

    def __init__(self, cause: str, *, may_be_new_key: bool = False) -> None:
        super().__init__(cause)
        self.may_be_new_key = may_be_new_key


@dataclass(frozen=True, slots=True)
class Document:
    """A checked XML document. `text` has no XML declaration, so that all programs read it as UTF-8."""

    text: str
    root: Element


def decode_message(encoded: str) -> bytes:
    """Return a message of a form. Raises SamlRefused: it is missing, too large or not base64."""
    if not encoded:
        raise SamlRefused("The answer has no SAML response.")
    if len(encoded) > MAX_BYTES * 3 // 2:
        raise SamlRefused(f"The SAML message has more than {MAX_BYTES} bytes.")
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SamlRefused("The SAML message is not base64.") from error


def parse_message(content: bytes) -> Document:
    """Return a message as a document. Raises SamlRefused: it is too large, not UTF-8, or contains more than elements,
    attributes and text."""
    if len(content) > MAX_BYTES:
        raise SamlRefused(f"The SAML message has more than {MAX_BYTES} bytes.")
    text = _without_declaration(content)
    if "<!" in text or "<?" in text:
        raise SamlRefused("The message contains a document type, a comment, CDATA or a processing instruction.")
    root = parse_xml(text)
    _check_depth(root)
    return Document(text, root)


def parse_metadata_text(content: bytes) -> Element:
    """Return the root of metadata, which may contain comments. Raises SamlRefused: the content is not XML in UTF-8, or
    has a document type."""
    root = parse_xml(_without_declaration(content))
    _check_depth(root)
    return root


def parse_xml(text: str) -> Element:
    """Return the root element. Raises SamlRefused: the text is not XML, or has a document type."""
    try:
        return DefusedTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise SamlRefused("The document has a document type, which is not permitted.") from error
    except (ParseError, ValueError) as error:
        raise SamlRefused(f"The document is not XML: {error}.") from error


def _without_declaration(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SamlRefused("The document is not UTF-8.") from error
    declaration = _DECLARATION.match(text)
    if declaration and _ENCODING.search(declaration[0]):
        raise SamlRefused("The document is not UTF-8.")
    return text[declaration.end() :] if declaration else text


def _check_depth(root: Element) -> None:
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
    if level:
        raise SamlRefused(f"The document has more than {MAX_DEPTH} levels of elements.")


def check_response(root: Element, *, decrypted: bool = False) -> None:
    """Check the structure of a response. With `decrypted`, its assertion was encrypted and replaced by the result.
    Raises SamlRefused: it has not exactly one assertion, or has signatures, ids or algorithms that are not permitted.
    """
    everywhere = Counter(element.tag for element in root.iter())
    containers = root.findall(ENCRYPTED)
    placed = root.findall(f"{ENCRYPTED}/{ASSERTION}" if decrypted else ASSERTION)
    if not decrypted:
        placed += containers
    found = everywhere[ASSERTION] + (0 if decrypted else everywhere[ENCRYPTED])
    if len(placed) != 1 or found != 1 or everywhere[RESPONSE] != 1 or everywhere[ENCRYPTED] != len(containers):
        raise SamlRefused(f"The response has {found} assertions, {len(placed)} of them in their place, instead of one.")
    _check_ids(root)
    signed = [root, *(element for element in placed if element.tag == ASSERTION)]
    signatures = [signature for element in signed for signature in element.findall(SIGNATURE)]
    if len(signatures) != everywhere[SIGNATURE]:
        raise SamlRefused("A signature is not a direct child of the response or of the assertion.")
    for element in signed:
        _check_signature(element)
    if remote := [element for element in root.iter() if _local(element) in _REMOTE]:
        raise SamlRefused(f"The response contains {_local(remote[0])}, which is not permitted.")
    for container in [] if decrypted else containers:
        _check_encryption(container)


def find_assertion(root: Element) -> Element | None:
    """Return the assertion of a checked response; None if it is encrypted."""
    found = root.find(ASSERTION)
    return found if found is not None else root.find(f"{ENCRYPTED}/{ASSERTION}")


def _check_ids(root: Element) -> None:
    ids = [value for element in root.iter() for name, value in element.attrib.items() if name.lower() in _ID_ATTRIBUTES]
    repeated = [value for value, number in Counter(ids).items() if number > 1]
    if repeated:
        raise SamlRefused(f"Several elements have the id {repeated[0][:100]!r}.")


def _check_signature(element: Element) -> None:
    """Check the signature in an element, if there is one."""
    signatures, name = element.findall(SIGNATURE), _local(element)
    if len(signatures) > 1:
        raise SamlRefused(f"The {name} has {len(signatures)} signatures instead of one.")
    for signature in signatures:
        if signature not in element[:2]:  # after the issuer; `xmlsec1` verifies the first signature in the element
            raise SamlRefused(f"The signature of the {name} is not at its beginning.")
        check_signature_methods(signature, element.get("ID", ""), name)


def check_signature_methods(signature: Element, signed_id: str, name: str) -> None:
    """Check that a signature covers exactly the element with this id, with permitted algorithms. Raises SamlRefused:
    it does not; the message names the reason. `name` is that of the element."""
    infos = signature.findall(f"{{{DS}}}SignedInfo")
    references = [reference for info in infos for reference in info.findall(f"{{{DS}}}Reference")]
    if len(infos) != 1 or len(references) != 1 or signature.find(f"{{{DS}}}Object") is not None:
        raise SamlRefused(f"The signature of the {name} has not exactly one reference.")
    if not signed_id or len(signed_id) > MAX_ID_CHARACTERS or references[0].get("URI") != f"#{signed_id}":
        raise SamlRefused(f"The signature of the {name} covers another element.")
    transforms = [one.get("Algorithm") for one in references[0].iter(f"{{{DS}}}Transform")]
    others = [one for one in transforms if one not in (_ENVELOPED, _EXCLUSIVE)]
    if others or _ENVELOPED not in transforms or len(transforms) > 2:
        raise SamlRefused(f"The signature of the {name} has transforms that are not permitted.")
    _require(infos[0], "CanonicalizationMethod", frozenset({_EXCLUSIVE}), name)
    _require(infos[0], "SignatureMethod", SIGNATURES, name)
    _require(references[0], "DigestMethod", DIGESTS, name)


def _require(parent: Element, method: str, permitted: frozenset[str], name: str) -> None:
    found = [one.get("Algorithm", "") for one in parent.iter(f"{{{DS}}}{method}")]
    if len(found) != 1 or found[0] not in permitted:
        shown = found[0] if found else "none"
        raise SamlRefused(f"The signature of the {name} uses {shown}, which is not permitted; use SHA-256.")


def _check_encryption(container: Element) -> None:
    """Check the algorithms of an encrypted assertion."""
    data, keys = (list(container.iter(f"{{{XENC}}}{name}")) for name in ("EncryptedData", "EncryptedKey"))
    methods = [_encryption_method(element) for element in data]
    key_methods = [_encryption_method(element) for element in keys]
    if len(data) != 1 or not keys or not CIPHERS.issuperset(methods) or not KEY_CIPHERS.issuperset(key_methods):
        found = ", ".join([*methods, *key_methods]) or "without a method"
        raise SamlRefused(f"The encryption ({found}) is not permitted; use AES and RSA-OAEP.")


def _encryption_method(element: Element) -> str:
    method = element.find(f"{{{XENC}}}EncryptionMethod")
    return method.get("Algorithm", "") if method is not None else ""


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]
