"""The gate in the running server: who asks, what may be queued, and a good answer for what may not.

The guarantee is the queue's `put`, through which every route, pack and version of the API must go. A middleware on the
server's own app says who asks, and refuses a POST /prompt before ComfyUI works on it. Without a policy file nothing of
ComfyUI is touched.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import hashlib
import json
import logging

from aiohttp import web

from ...headless.bounds import shown
from ...headless.check import parse_request
from ...headless.policy import Problem
from ...headless.policy_file import PolicyError, PolicyFile, Terms, Visitor, read_policy
from ...headless.workflow import WorkflowError
from .. import compat
from ..data import languages
from . import rules
from .record import Queued, Record

FULL = "safree_record"
NO_HINT = "Forbidden."
WITHOUT = "Start ComfyUI with --preview-method none."
NOBODY = "no request"
NOT_HELD = "The policy of this server cannot be held to, so no prompt is queued: "


class Refused(Exception):
    """A prompt that is not queued. status: of the answer; kind, message, problems: what stands in it."""

    def __init__(self, status: int, kind: str, message: str, problems: tuple[Problem, ...] = ()):
        super().__init__("; ".join([message, *map(str, problems[:5])]))
        self.status, self.kind, self.message, self.problems = status, kind, message, problems


@dataclasses.dataclass
class Asking:
    """Who a request comes from. terms: None for somebody who may queue nothing; known_by: key digest or address.

    name: in the record
    passed: digest of the workflow that was looked at already, so that the queue need not look at the same one again
    """

    terms: Terms | None
    known_by: str
    name: str = NOBODY
    passed: str = ""


_asking: contextvars.ContextVar[Asking | None] = contextvars.ContextVar("safree_asking", default=None)


class Gate:
    """What stands before one server's queue. policy: what to hold to, or why nothing is queued at all."""

    def __init__(self, policy: PolicyFile | PolicyError, server):
        self.policy, self.server = policy, server
        self.queue = server.prompt_queue
        self._put, self._get, self._done = (getattr(self.queue, name) for name in ("put", "get", "task_done"))
        self._running: dict = {}  # what runs, by the number that the queue gives
        self._record = Record(policy.record) if getattr(policy, "record", None) else None

    def close(self) -> None:
        """Put the gate in place: from now on the queue takes what passes, and nothing else."""
        self.queue.put, self.queue.get = self.put, self.get
        if self._record:
            self.queue.task_done = self.task_done
        self.server.app.middlewares.append(self.middleware())

    def put(self, item, *rest, **more):
        """The queue's put, of an item that passes; raises Refused for any other."""
        asking = _asking.get() or Asking(getattr(self.policy, "others", None), NOBODY)
        try:
            passed = self._passing(item, asking)
        except Refused as refusal:
            logging.warning("SAFREE: a prompt was refused. %s", refusal)
            self._note(refusal, asking)
            raise
        return self._put(Queued.of(passed, asking.known_by, asking.name, asking.terms.name), *rest, **more)

    def get(self, *rest, **more):
        """The queue's get, by which the thread that runs prompts takes one out; it runs under its sender's terms."""
        taken = self._get(*rest, **more)
        if taken is not None:
            item, number = taken
            queued = item if isinstance(item, Queued) else Queued.of(item, NOBODY, NOBODY, "")
            terms = getattr(self.policy, "policies", {}).get(queued.policy)
            languages.refuses_unchecked.set(terms is None or terms.refuses_unchecked)
            if self._record:
                self._running[number] = queued  # until it is done
        return taken

    def task_done(self, number, result, *rest, **more):
        """The queue's task_done, of a prompt that is in the record by then."""
        item = self._running.pop(number, None)
        try:
            if item:
                self._record.done(item, *compat.outcome(result, rest, more))
        except Exception:  # the queue goes on, whatever a record holds
            logging.exception("SAFREE: a prompt is not in the record.")
        return self._done(number, result, *rest, **more)

    def _note(self, refusal: Refused, asking: Asking) -> None:
        """Put a prompt that is not queued into the record; none of somebody who may queue nothing."""
        if self._record and asking.terms and refusal.kind != FULL:
            self._record.refused(asking.name, asking.terms.name, refusal.kind)

    def _passing(self, item, asking: Asking) -> tuple:
        """The item to queue in place of `item`: with stricter settings, and no place before others."""
        terms = self._terms(asking)
        if self._record and (full := self._record.why_full()):
            raise Refused(507, FULL, f"{full[0].upper()}{full[1:]}. No prompt is queued until there is room.")
        if terms.policy is None:
            return item
        if terms.pictures and compat.shows_previews():
            raise Refused(503, "safree_policy", f"{NOT_HELD}it shows previews, which no judge sees. {WITHOUT}")
        graph = compat.prompt_of(item)
        if not asking.passed or asking.passed != digest(graph):
            self._hold(graph, terms)
        waiting = sum(getattr(one, "whose", None) == asking.known_by for one in self.queue.queue)
        if terms.waiting is not None and waiting >= terms.waiting:
            raise Refused(429, "safree_queue_share", f"{waiting} of your prompts wait already; at most that many may.")
        number = item[0] if 0 <= item[0] <= self.server.number else self.server.number  # NaN is neither
        changed = rules.tightened(graph) if terms.policy.strangers else graph
        if terms.pictures:
            item = compat.without_previews(item)
        return compat.with_prompt(item, changed, number)

    def _terms(self, asking: Asking) -> Terms:
        if isinstance(self.policy, PolicyError):
            raise Refused(503, "safree_policy", NOT_HELD + str(self.policy))
        if asking.terms is None:
            raise Refused(403, "safree_forbidden", NO_HINT)
        return asking.terms

    def _hold(self, graph, terms: Terms) -> None:
        """Raise Refused unless a workflow is what `terms` allow."""
        try:
            problems = rules.problems(graph, terms)
        except WorkflowError as error:
            raise Refused(400, "safree_no_workflow", f"This workflow cannot be checked: {error}") from error
        if problems and terms.warn:
            logging.warning("SAFREE: queued in spite of %d problems: %s", len(problems), problems[0])
        elif problems:
            raise Refused(400, "safree_unguarded", "This workflow is not guarded.", tuple(problems))

    def middleware(self):
        @web.middleware
        async def safree_gate(request: web.Request, handler):
            try:
                asking = self._who(request)
                token = _asking.set(asking)
                try:
                    return await handler(await self._looked_at(request, asking))
                finally:
                    _asking.reset(token)
            except Refused as refusal:
                return answer(refusal)

        return safree_gate

    def _who(self, request: web.Request) -> Asking | None:
        if isinstance(self.policy, PolicyError):
            return None
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            return Asking(*self.policy.of(Visitor(compat.address_of(request), headers)))
        except KeyError:
            raise Refused(403, "safree_forbidden", NO_HINT) from None

    async def _looked_at(self, request: web.Request, asking: Asking | None) -> web.Request:
        """The request to go on with: of a POST /prompt, what it holds is checked before ComfyUI reads it."""
        if not compat.queues_a_prompt(request):
            return request
        asking = asking or Asking(None, "")
        terms = self._terms(asking)
        if terms.policy is None:
            return request
        small = request.clone(client_max_size=terms.bytes)
        try:
            sent = parse_request(await small.read())
        except web.HTTPRequestEntityTooLarge:
            message = f"The request is larger than {terms.bytes:,} bytes."
            raise Refused(413, "safree_too_large", message) from None
        except WorkflowError as error:
            raise Refused(400, "safree_no_workflow", str(error)) from error
        try:
            await asyncio.to_thread(self._hold, sent["prompt"], terms)
        except Refused as refusal:
            self._note(refusal, asking)
            raise
        asking.passed = digest(sent["prompt"])
        return small


def digest(graph) -> str:
    """What tells two workflows apart; '' never comes out of it."""
    return hashlib.sha256(json.dumps(graph).encode()).hexdigest()


def answer(refusal: Refused) -> web.Response:
    """ComfyUI's answer to an invalid prompt, with what is wrong at its node, so that the editor shows it."""
    nodes: dict = {}
    for problem in refusal.problems:
        entry = {"class_type": problem.class_type, "dependent_outputs": [], "errors": []}
        details = {"message": "Not guarded", "details": str(problem), "extra_info": {"input_name": problem.input}}
        nodes.setdefault(problem.node, entry)["errors"].append({"type": "safree_unguarded", **details})
    error = {
        "type": refusal.kind,
        "message": refusal.message,
        "details": "\n".join(map(str, refusal.problems[:5])),
        "extra_info": {},
    }
    return web.json_response({"error": error, "node_errors": nodes}, status=refusal.status)


def stand() -> None:
    """Put the gate before the server's queue where there is a policy file; do nothing where there is none.

    A file that cannot be held to closes the queue for all, and so does a server in which there is no place for the
    gate; where not even that can be done, ComfyUI ends.
    """
    path = compat.policy_path()
    if path is None:
        return
    try:
        policy: PolicyFile | PolicyError = read_policy(path)
    except PolicyError as error:
        policy = error
        logging.error("SAFREE: %s%s", NOT_HELD, error)
    try:
        Gate(policy, compat.prompt_server()).close()
    except Exception as error:  # whatever a version of ComfyUI has that others have not
        _close_for_all(error)
    else:
        logging.info("SAFREE: the gate holds to %s.", path)


def _close_for_all(error: Exception) -> None:
    """Let no prompt run, since the gate cannot stand; SystemExit where that cannot be done either."""
    reason = f"there is no place for the gate in this ComfyUI ({type(error).__name__}: {shown(str(error))})"
    logging.error("SAFREE: %s%s.", NOT_HELD, reason)

    def put(*_, **__):
        raise Refused(503, "safree_policy", f"{NOT_HELD}{reason}.")

    try:
        compat.prompt_server().prompt_queue.put = put
    except Exception:
        raise SystemExit(f"SAFREE: {NOT_HELD}{reason}.") from error
