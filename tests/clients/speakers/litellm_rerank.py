"""litellm's rerank, through four of its providers."""

import litellm
from speaker import speak

litellm.telemetry = False


def way(model, path):
    def make(url):
        def ask(query, texts):
            answer = litellm.rerank(
                model=model, query=query, documents=list(texts), api_base=url + path, api_key="any"
            )
            return [each["index"] for each in answer.results]

        return ask

    return make


speak(
    {
        "cohere/": way("cohere/rerank-v3.5", "/cohere"),
        "infinity/": way("infinity/any", "/infinity"),
        "hosted_vllm/": way("hosted_vllm/any", "/vllm"),
        "huggingface/": way("huggingface/any", "/tei"),
    }
)
