"""What every test in the browser rests on: it can draw, people get in by the printed address and nobody else does, and misdeeds of a page are noticed."""

import re

from playwright.sync_api import expect


def test_the_browser_has_webgl(visitor):
    """Without it the tests of maps and micrographs would pass on nothing."""
    drawn = visitor.evaluate(
        """() => {
            const gl = document.createElement('canvas').getContext('webgl2');
            if (!gl) return null;
            gl.clearColor(0, 1, 0, 1);
            gl.clear(gl.COLOR_BUFFER_BIT);
            const pixel = new Uint8Array(4);
            gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
            return [...pixel];
        }"""
    )
    assert drawn == [0, 255, 0, 255]


def test_the_printed_address_lets_in_and_leaves_no_token(visitor, server):
    visitor.goto(server.address)
    expect(visitor).not_to_have_url(re.compile("token"))
    assert server.token not in visitor.content()
    (cookie,) = visitor.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and server.token not in cookie["value"]
    assert visitor.evaluate("() => document.cookie") == ""
    assert visitor.context.request.get("/api/catalogue").status == 200


def test_nobody_else_is_let_in(visitor, server):
    ask = visitor.context.request
    assert ask.get("/api/catalogue").status == 401
    wrong = ask.get(f"/login?token={server.token[:-1]}{'A' if server.token[-1] != 'A' else 'B'}", max_redirects=0)
    assert wrong.status in (401, 403) and not visitor.context.cookies()


def test_the_page_shows_itself(page, shoot):
    """Something is drawn in the page's root by scripts, under the policy."""
    expect(page.locator("#root > *").first).to_be_visible()
    assert shoot("first").stat().st_size > 0


def test_misdeeds_are_noticed(page, complaints):
    """Each is provoked: errors, requests of others, inline scripts."""
    page.evaluate("() => console.error('a word to the console')")
    page.evaluate("() => { setTimeout(() => { throw new Error('nobody catches this') }) }")
    page.evaluate("() => fetch('https://example.org/x').catch(() => null)")
    page.evaluate("() => { const script = document.createElement('script'); script.textContent = '1'; document.body.append(script) }")
    for pattern in ("a word to the console", "nobody catches this", "Policy: connect-src", "Policy: script-src"):
        assert complaints.arrive(page, pattern), (pattern, complaints.told)
    complaints.expect("a word|nobody catches|Content.Security.Policy")


def test_a_request_of_others_is_noticed(visitor, complaints):
    """Of a page without a policy, which does not hold it back."""
    visitor.evaluate("() => fetch('http://127.0.0.1:9/x').catch(() => null)")
    assert complaints.arrive(visitor, "foreign request: http://127.0.0.1:9/x")
    complaints.expect("127.0.0.1:9|Failed to load resource")
