"""Signatures of what a project sends to other machines: Ed25519, by a key in the project's store.

An `Envelope` holds a text with its signature, in one file, so that both are replaced together. The signature covers
PURPOSE too: it is worth nothing anywhere else. Who receives one has the public key from an earlier visit, by hand.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from inhouse.errors import BackendError, GateError, InputError
from inhouse.files import replacing
from inhouse.store.artifacts import locked
from inhouse.types import Record

KEY_FILE = "signing.key"
PURPOSE = b"inhouse edge release 1\n"


class Envelope(Record):
    """A signed text. `key` is the public key of its signer, for messages alone: who checks uses the key it trusts."""

    signed: str
    signature: str  # base64
    key: str  # base64 of the 32 bytes

    def opened(self, trusted: str, name: str) -> str:
        """The text, if the holder of the `trusted` public key signed it; `name` is for messages.

        Raises:
            GateError: the signature is wrong.
        """
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(trusted, validate=True))
        except (ValueError, binascii.Error) as error:
            hint = "restore the file from the first copy of the folder"
            raise GateError(f"{name}: the trusted key is not an Ed25519 public key", hint) from error
        try:
            public.verify(base64.b64decode(self.signature, validate=True), PURPOSE + self.signed.encode())
        except (InvalidSignature, ValueError) as error:
            why = "it is signed by another key" if self.key != trusted else "it was changed after it was signed"
            hint = "nothing was installed; ask whoever exports the releases, and find out who wrote there"
            raise GateError(f"{name}: wrong signature: {why}", hint) from error
        return self.signed

    @classmethod
    def read(cls, data: bytes, name: str) -> Envelope:
        """
        Raises:
            InputError: it is not an envelope.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            hint = "it is written by `inhouse export --for edge`"
            raise InputError(f"{name}: not a signed release ({error.errors()[0]['msg']})", hint) from error


def public_of(key: Ed25519PrivateKey) -> str:
    """The public key, in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def sign(key: Ed25519PrivateKey, text: str) -> Envelope:
    signature = base64.b64encode(key.sign(PURPOSE + text.encode())).decode()
    return Envelope(signed=text, signature=signature, key=public_of(key))


def signing_key(store: Path) -> Ed25519PrivateKey:
    """The key of a store, made on first use; only its owner may read it.

    Raises:
        BackendError: it cannot be written or read, is damaged, or others may read it.
    """
    file = store / KEY_FILE
    try:
        with locked(store / "locks" / KEY_FILE, wait=True):
            if not file.exists():
                made = Ed25519PrivateKey.generate().private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                with replacing(file, 0o600) as partial:
                    partial.write_bytes(made)
        if file.stat().st_mode & 0o077:
            raise BackendError(f"{file}: other users may read it", f"run chmod 600 {file}")
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise BackendError(f"{file}: {error.strerror}", "make the folder writable") from error
    except ValueError as error:
        hint = "restore it from a backup: devices trust no other key"
        raise BackendError(f"{file}: damaged", hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BackendError(f"{file}: not an Ed25519 key", "restore it from a backup: devices trust no other key")
    return key
