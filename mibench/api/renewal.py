"""Records whose truth is known better today: judged anew, without training, where their encoder is kept."""

from __future__ import annotations

from pathlib import Path

from mibench.api.encode import encode
from mibench.api.plan import Plan
from mibench.api.recording import judged_anew
from mibench.engine.encoding import encoder_of
from mibench.spec import RunSpec
from mibench.store.encoders import EncoderStore
from mibench.store.record import Record, is_superseded
from mibench.store.segments import Store, merge


def load(planned: Plan, out: Path | str) -> tuple[dict[str, Record], list[Record]]:
    """Return the records of a store as they are judged today, and those of a plan that have changed by that.

    What was judged by an earlier rule and has no encoder in the store stays as it is.
    """
    known, encoder_store = Store(out).load(), EncoderStore(out)
    old = [spec for spec in planned.specs if spec.key in known and is_superseded(known[spec.key])]
    kept = [spec for spec in old if _has_encoder(spec, encoder_store)]
    pairs = encode(kept, planned, encoder_store)
    changed = []
    for spec in kept:
        representation = pairs.representation(spec)
        if representation is not None and representation.pair is not None:
            changed.append(judged_anew(known[spec.key], representation.pair))
    return merge([*known.values(), *changed]), changed


def _has_encoder(spec: RunSpec, encoder_store: EncoderStore) -> bool:
    encoder = encoder_of(spec)
    return encoder is not None and encoder_store.has(encoder.key)
