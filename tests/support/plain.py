"""What Docker and Wherry write, without what is never the same."""

from __future__ import annotations

import re


def plain(text: str, directory: object = "DIR") -> str:
    """Without ids, paths in ``directory``, and what ids the containers' users have on the host."""
    text = text.replace("\r\n", "\n").replace(str(directory), "DIR")
    text = re.sub(r"\b[0-9a-f]{64}\b", "ID", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "id", text)
    return re.sub(r"uid=7\d{7,},gid=7\d{7,}|,idmapped", "", text)


def complaint(text: str) -> str:
    """The error without the engines' prefixes and hints; all of what the container itself wrote."""
    prefix = r"(docker: |wherry: |Error response from daemon: |Error: |Error processing tar file\(exit status 1\): )+"
    if not re.match(prefix, text):
        return text.replace("docker", "wherry").strip()
    text = re.sub("^" + prefix, "", text).partition("\n")[0]
    text = re.sub(r"^failed to create (task|shim task).*unable to start container process: ", "", text)
    text = text.removesuffix(": unknown").replace("error during container init: ", "")
    return text.replace("docker", "wherry").lower()
