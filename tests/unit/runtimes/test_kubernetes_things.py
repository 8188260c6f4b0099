"""The objects of an installation in a namespace, including those that Agents use for images."""

from __future__ import annotations

from tests.support.kubernetes.in_memory import Namespace

from greenroom.core.session.leftovers import KnownRows, plan
from greenroom.runtimes.kubernetes.images import log_in_of, pull_pod_of
from greenroom.runtimes.kubernetes.installation_objects import NamespaceObjects
from greenroom.runtimes.kubernetes.names import ObjectOwner, image_name

HERE, GONE = (ObjectOwner(installation_id="i", agent_id=agent_id) for agent_id in ("here", "gone"))


async def test_what_a_deleted_agent_kept_for_an_image_is_left_over():
    of_stranger = log_in_of("desk:1", None, ObjectOwner(installation_id="j", agent_id="gone"))
    kept = [made for who in (HERE, GONE) for made in (log_in_of("desk:1", None, who), pull_pod_of("desk:1", who))]
    things = await NamespaceObjects(Namespace(of_stranger, *kept), "i").list()
    assert len(things) == 4
    left = plan(things, KnownRows(agents=frozenset({"here"})))
    name = image_name(GONE, "desk:1")
    assert {one.item.title for one in left} == {f"Secret {name}", f"Pod {name}"}
