from perfkit.apis.dashscope import DashScope
from perfkit.options.arguments import Arguments


def test_the_prompt_goes_under_input_and_the_rest_under_parameters() -> None:
    given = Arguments(model="qwen-turbo", max_tokens=256, parameters={"top_p": "0.8"}, extra_args={"x": 1})
    assert DashScope(given).build_request("hello") == {
        "model": "qwen-turbo",
        "input": {"prompt": "hello"},
        "parameters": {"result_format": "message", "incremental_output": True, "max_tokens": 256, "top_p": 0.8},
        "x": 1,
    }


def test_messages_go_under_input_too() -> None:
    messages = [{"role": "user", "content": "hi"}]
    assert DashScope(Arguments()).build_request(messages)["input"] == {"messages": messages}


def test_a_stream_is_asked_for_by_a_header_and_not_in_the_body() -> None:
    streaming, whole = Arguments(), Arguments(stream=False)
    assert DashScope(streaming).headers(streaming) == {"X-DashScope-SSE": "enable"}
    assert DashScope(whole).headers(whole) == {}
    assert "stream" not in DashScope(streaming).build_request("hi")
    assert "incremental_output" not in DashScope(whole).build_request("hi")["parameters"]


def test_a_chat_body_is_taken_apart_into_input_and_parameters() -> None:
    messages = [{"role": "user", "content": "hi"}]
    body = DashScope(Arguments()).build_request({"messages": messages, "max_tokens": 5})
    assert body["input"] == {"messages": messages}
    assert body["parameters"]["max_tokens"] == 5
    assert "max_tokens" not in body


def test_a_body_of_this_apis_own_shape_stays() -> None:
    body = DashScope(Arguments()).build_request({"model": "m", "input": {"prompt": "p"}, "parameters": {"seed": 3}})
    assert body["input"] == {"prompt": "p"}
    assert body["parameters"]["seed"] == 3
