"""Files with secrets, as Gatepost wants them: readable by their owner alone."""


def write_private(path, content):
    """Writes text or octets into a file of mode 0600; the path."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
