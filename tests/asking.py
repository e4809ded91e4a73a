"""Campaigns for tests of policies that ask a language model: the stub as endpoint, and trials that are over."""

from collections.abc import Callable, Mapping
from typing import Any

from chat_stub import Request, Stub

from autoresearch.search.config import Config
from autoresearch.search.policies import Context
from autoresearch.search.proposal import History, Proposal, Result, TrialStatus

KEY = "sk-very-secret-0123456789"
SPACE = {"rate": {"low": 1e-5, "high": 1e-1, "log": True}, "depth": {"low": 2, "high": 12}, "kind": ["adam", "sgd"]}


def context(
    stub: Stub, type: str, check_diff: Callable[[str, str], str] = lambda tip, diff: "", **policy: Any
) -> Context:
    """A context whose endpoint is the stub."""
    asked = {"type": type, "params": SPACE, "mutable_file": "train.py", "llm_api_url": stub.url, "llm_model": "tiny"}
    config = Config.model_validate(
        {
            "objective": {"metric": "loss", "direction": "min"},
            "target": {"train_cmd": "python train.py"},
            "policy": asked | {"llm_api_key_env": "STUB_KEY", "llm_timeout_s": 5} | policy,
        }
    )
    found = Context(config, variables={"STUB_KEY": f"{KEY}\n"}, check_diff=check_diff)
    found.stop.wait = lambda timeout=None: found.stop.is_set()  # type: ignore[method-assign]
    return found


def over(number: int, metric: float | None = None, proposal: Proposal | None = None, **more: Any) -> Result:
    """A trial that ended, well where it has a metric."""
    status = TrialStatus.OK if metric is not None else TrialStatus.FAILED
    given = {"status": status, "metric": metric, "metrics": {"loss": metric} if metric is not None else {}}
    return Result(number=number, proposal=proposal or Proposal(source="baseline"), **(given | more))


def past(*results: Result, running: tuple[Proposal, ...] = (), source: str = "", tip: str = "") -> History:
    """A history whose best is the lowest."""
    kept = min((one for one in results if one.metric is not None), key=lambda one: one.metric or 0.0, default=None)
    return History(results=list(results), running=list(running), best=kept, source=source, tip=tip)


def batch(*params: Mapping[str, Any]) -> dict[str, Any]:
    """An answer about parameters."""
    return {"proposals": [{"rationale": f"idea {place}", "params": one} for place, one in enumerate(params, 1)]}


def asked_for(request: Request) -> str:
    """What a request says last."""
    return str(request.body["messages"][-1]["content"])
