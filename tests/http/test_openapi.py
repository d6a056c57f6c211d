"""The OpenAPI description is of the true routes and bodies, with the limits in force."""

import re

from rerankd.http.policy import HttpPolicy
from tests.http.service import service
from tests.http.test_dialects import PATHS


async def document(**policy):
    async with service(policy=HttpPolicy(**policy)) as client:
        return (await client.get("/openapi.json")).json()


async def test_every_route_is_described():
    paths = (await document())["paths"]
    assert set(PATHS) <= set(paths)
    assert {"/health", "/ready", "/info", "/metrics", "/metrics/rerank", "/admin/flag"} <= set(paths)
    for path in PATHS:
        described = paths[path]["post"]
        assert "requestBody" in described
        assert {"200", "401", "413", "415", "422", "503"} <= set(described["responses"])
        assert "x-rerank-outcome" in described["responses"]["200"]["headers"]


async def test_every_reference_leads_somewhere():
    described = await document()
    schemas = described["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", str(described))) <= set(schemas)


async def test_the_limits_in_force_are_in_the_schema():
    schemas = (await document(max_candidates=7, max_query_chars=11, max_candidate_chars=13))["components"][
        "schemas"
    ]
    own = schemas["OwnRequest"]["properties"]
    assert own["query"]["maxLength"] == 11
    assert own["candidates"]["maxItems"] == 7
    assert schemas["OwnCandidate"]["properties"]["text"]["maxLength"] == 13
    assert schemas["TeiRequest"]["properties"]["texts"]["items"]["maxLength"] == 13


async def test_the_flag_s_own_rules_are_in_the_schema():
    flag = (await document())["components"]["schemas"]["FlagBody"]
    assert flag["additionalProperties"] is False
    assert (flag["properties"]["percent"]["minimum"], flag["properties"]["percent"]["maximum"]) == (0, 100)


async def test_only_health_and_readiness_are_described_as_public():
    paths = (await document())["paths"]
    public = {
        path for path, each in paths.items() for operation in each.values() if "security" not in operation
    }
    assert public == {"/health", "/ready"}
