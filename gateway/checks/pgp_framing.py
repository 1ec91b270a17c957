"""Whether an OpenPGP message ends where its own lengths say (RFC 9580, section 4.2): tells a cut file from a changed one."""

from gateway.drop.formats import PGP_ARMOUR

_TAIL = b"-----END PGP "
#: [bytes] the line that ends an armoured message, and the blanks and line ends that may follow
_KEPT = 256
#: tags of the packets that hold the message itself: what ends with none of them was cut (RFC 9580, section 5)
_DATA = frozenset({9, 18, 20})


class Framing:
    """Takes a message in pieces as they come and keeps none of them."""

    def __init__(self) -> None:
        self._tail = b""
        self._head = b""  # of a packet, or of a part of one, as far as it came
        self._left = 0  # [bytes] of the packet, or of its part, that are still to come
        self._tag = 0
        self._partial = False
        self._endless = False
        self._armoured: bool | None = None

    def take(self, data: bytes) -> None:
        """The next bytes of the message."""
        if self._armoured is None and data:
            self._armoured = data.startswith(PGP_ARMOUR)
        if self._armoured:
            self._tail = (self._tail + data)[-_KEPT:]
            return
        at = 0
        while at < len(data) and not self._endless:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            else:
                self._head += data[at : at + 1]
                at += 1
                self._begin()

    @property
    def whole(self) -> bool:
        """Whether the message may end here."""
        if self._armoured:
            return _TAIL in self._tail
        return self._endless or (self._tag in _DATA and not (self._left or self._head or self._partial))

    def _begin(self) -> None:
        """A packet's head, or the length of its next part, may be whole now."""
        head = self._head if self._partial else self._head[1:]
        if not self._partial:
            first = self._head[0]
            if not first & 0x80:  # no packet at all: it was changed, or something was added
                self._endless = True
                return
            if not first & 0x40:  # the old format: two bits say how long the length is
                kind = first & 3
                if kind == 3:  # one without a length
                    self._tag, self._endless = first >> 2 & 15, True
                elif len(head) == 1 << kind:
                    self._packet(first >> 2 & 15, int.from_bytes(head), partial=False)
                return
        tag = self._tag if self._partial else self._head[0] & 63
        if not head:
            return
        if head[0] < 192:
            self._packet(tag, head[0], partial=False)
        elif head[0] < 224 and len(head) == 2:
            self._packet(tag, ((head[0] - 192) << 8) + head[1] + 192, partial=False)
        elif 224 <= head[0] < 255:
            self._packet(tag, 1 << (head[0] & 31), partial=True)
        elif head[0] == 255 and len(head) == 5:
            self._packet(tag, int.from_bytes(head[1:]), partial=False)

    def _packet(self, tag: int, length: int, partial: bool) -> None:
        self._tag, self._left, self._partial, self._head = tag, length, partial, b""
