"""Reading the data types of SSH (RFC 4251 §5) out of bytes that somebody else wrote: strict, and nothing is taken on trust."""


class Malformed(ValueError):
    """The bytes are not what they say they are."""


class Fields:
    """Bytes, taken from the front. Malformed when they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    @property
    def taken(self) -> bytes:
        """What was taken so far."""
        return self._data[: self._at]

    def raw(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise Malformed("the data ends too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def uint8(self) -> int:
        return self.raw(1)[0]

    def uint32(self) -> int:
        return int.from_bytes(self.raw(4), "big")

    def uint64(self) -> int:
        return int.from_bytes(self.raw(8), "big")

    def string(self) -> bytes:
        return self.raw(self.uint32())

    def text(self) -> str:
        """A string that is UTF-8 without NUL: a name that ends early for a program in C is a trick."""
        try:
            text = self.string().decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None
        if "\0" in text:
            raise Malformed("a text holds NUL")
        return text

    def natural(self) -> int:
        """An mpint that is not negative."""
        data = self.string()
        if data and data[0] & 0x80:
            raise Malformed("a number is negative")
        return int.from_bytes(data, "big")

    def end(self) -> None:
        """Malformed when anything is left."""
        if self:
            raise Malformed("there is more than there should be")


def string(data: bytes) -> bytes:
    """`data` as an SSH string."""
    return len(data).to_bytes(4, "big") + data
