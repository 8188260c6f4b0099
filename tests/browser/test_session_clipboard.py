"""Pictures on the clipboard and printed pages, between a session and a real browser."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.browser.session_desk import Desk

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

PICTURE = """async (colour) => {
  const canvas = new OffscreenCanvas(300, 200);
  const context = canvas.getContext('2d');
  context.fillStyle = colour;
  context.fillRect(0, 0, 300, 200);
  const image = await canvas.convertToBlob({ type: 'image/png' });
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': image })]);
  const [item] = await navigator.clipboard.read();
  return [...new Uint8Array(await (await item.getType('image/png')).arrayBuffer())];
}"""
"""Put a picture on the browser's clipboard; returns the bytes that the browser has then."""

COLOUR = """async () => {
  const [item] = await navigator.clipboard.read();
  if (!item?.types.includes('image/png')) return null;
  const picture = await createImageBitmap(await item.getType('image/png'));
  const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
  context.drawImage(picture, 0, 0);
  return [picture.width, picture.height, ...context.getImageData(0, 0, 1, 1).data];
}"""
RED_COMES = f"""async () => {{
  // Chromium raises InvalidStateError if the page writes between read() and getType().
  const changed = (error) => {{ if (error.name !== "InvalidStateError") throw error; }};
  while (JSON.stringify(await ({COLOUR})().catch(changed)) !== '[1,1,255,0,0,255]')
    await new Promise(requestAnimationFrame);
}}"""
"""Wait until the browser's clipboard has a red pixel, within the time limit of the test."""

DATA = "timeout 2 xclip -o -selection clipboard -t image/png 2>/dev/null | sha256sum | cut -d' ' -f1"
RED = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
COPY = f"echo {RED} | base64 -d > /tmp/red.png; xclip -i -selection clipboard -t image/png /tmp/red.png >/dev/null 2>&1"


async def test_a_picture_of_the_browser_reaches_the_session_byte_for_byte(desk: Desk):
    await desk.frame.locator("canvas").click()
    image = bytes(await desk.frame.evaluate(PICTURE, "#2040ff"))
    await desk.frame.evaluate("window.dispatchEvent(new Event('focus'))")
    await desk.eventually(DATA, hashlib.sha256(image).hexdigest())


async def test_a_picture_of_the_session_reaches_the_browser(desk: Desk):
    await desk.frame.locator("canvas").click()
    await desk.shell(COPY)
    await desk.frame.evaluate(RED_COMES)
    fetched = await desk.frame.evaluate(
        "fetch('clipboard/image').then((a) => a.arrayBuffer()).then((b) => b.byteLength)"
    )
    assert fetched == int(await desk.shell("stat -c %s /tmp/red.png"))


@pytest.mark.parametrize("desk", [{"KASM_SVC_SEND_CUT_TEXT": "0", "KASM_SVC_ACCEPT_CUT_TEXT": "0"}], indirect=True)
async def test_closed_ways_are_closed_for_pictures_on_the_server_and_named(desk: Desk):
    ways = await desk.received("m.type === 'clipboard-ways'")
    assert (ways["out"], ways["in"]) == (False, False)
    await desk.shell(COPY)
    answers = await desk.frame.evaluate("""async () => Promise.all([
        fetch('clipboard/image'), fetch('clipboard/image', { method: 'PUT', body: 'x' }),
    ].map(async (request) => {
        const answer = await request;
        return [answer.status, (await answer.json()).error_message];
    }))""")
    assert [status for status, _ in answers] == [403, 403]
    assert "allow_kasm_clipboard_down" in answers[0][1]
    assert "allow_kasm_clipboard_up" in answers[1][1]

    # The key that pastes arrives without the text of this computer
    await desk.shell("setsid xterm -title Keys -e bash -c 'stty raw -echo; exec cat >/tmp/keys' >/dev/null 2>&1 &")
    await desk.eventually("xdotool getactivewindow getwindowname; ls /tmp/keys", "Keys\n/tmp/keys")
    await desk.frame.locator("canvas").focus()
    await desk.frame.evaluate("navigator.clipboard.writeText('of this computer')")
    await desk.page.keyboard.press("Control+v")
    await desk.eventually("od -An -c /tmp/keys", "026")
    assert await desk.shell("timeout 2 xclip -o -selection clipboard") != "of this computer"


async def test_what_a_program_prints_is_offered_and_saved_byte_for_byte(desk: Desk, tmp_path: Path):
    await desk.received("m.type === 'files'")
    opened = "xdotool search --onlyvisible --name"
    await desk.shell("echo printed page >~/note.txt; setsid mousepad ~/note.txt >/dev/null 2>&1 &")
    await desk.eventually(f"{opened} Mousepad >/dev/null && echo yes", "yes")
    await desk.shell("xdotool key ctrl+p")
    await desk.eventually(f"{opened} '^Print$' >/dev/null && echo yes", "yes")
    offer = desk.frame.get_by_role("status").get_by_text(".pdf was printed.")
    for _ in range(40):  # the dialog queries its printers first
        await desk.shell("xdotool key Return")
        await desk.page.wait_for_timeout(500)
        if await offer.is_visible():
            break
    await offer.wait_for()
    assert await desk.frame.get_by_role("link", name="Open").get_attribute("href")
    async with desk.page.expect_download() as download:
        await desk.frame.get_by_role("link", name="Save").click()
    await (await download.value).save_as(tmp_path / "printed.pdf")
    printed = (tmp_path / "printed.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert hashlib.sha256(printed).hexdigest() == (await desk.shell("sha256sum < ~/Downloads/*.pdf")).split()[0]


@pytest.mark.parametrize("desk", [{"KASM_SVC_DOWNLOADS": "0"}], indirect=True)
async def test_what_is_printed_where_downloads_are_closed_stays_inside(desk: Desk):
    await desk.received("m.type === 'files'")
    name, text = b"job-name".hex(), b"../../a/b\x07c".hex()
    job = f"0101000200000001 01 420008{name}000b{text} 03 {b'%PDF-1.4'.hex()}"
    await desk.shell(
        f"echo {job} | python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))' | curl -s"
        " --unix-socket /tmp/.greenroom/print.sock --data-binary @- http://localhost/printers/PDF -o /dev/null"
    )
    await desk.frame.get_by_text("Your group allows no downloads.").wait_for()
    assert await desk.shell("ls ~/Downloads; cat ~/Downloads/*") == "a b c.pdf\n%PDF-1.4"
    assert not await desk.frame.get_by_role("link", name="Save").is_visible()
