"""What the lengths and kinds of its packets tell of an OpenPGP message (RFC 9580, section 4.2): whether it was cut, or has no protection.

Only the words of a refusal rest on it: whether a message counts is gpg's to say.
"""

import base64
import binascii

from gateway.drop.formats import PGP_ARMOUR

_TAIL = b"-----END PGP "
#: [bytes] the line that ends an armoured message, and the blanks and line ends that may follow
_KEPT = 256
#: tags of the packets that hold the message itself: what ends with none of them was cut (RFC 9580, section 5)
_DATA = frozenset({9, 18, 20})
#: [bytes] armour's lines have 76 characters at most (RFC 9580, section 6.2)
_LONGEST_LINE = 1000
#: packets and parts of packets: so many in any case, and then no more than one for each so many bytes. A swarm of tiny ones costs time
_FREE_PARTS = 1000
_SMALLEST_PART = 256
#: the one of them that has no proof of its integrity
_BARE = 9


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
        self._in_body = False
        self._seen = self._parts = 0
        self._line = b""

    def take(self, data: bytes) -> None:
        """The next bytes of the message."""
        if self._armoured is None and data:
            self._armoured = data.startswith(PGP_ARMOUR)
        if self._armoured:
            self._tail = (self._tail + data)[-_KEPT:]
            self._take_armoured(data)
        else:
            self._take_binary(data)

    def _take_armoured(self, data: bytes) -> None:
        """Armour is taken off as far as the packet that holds the message: its kind is all that is asked of it."""
        if self._tag in _DATA or self._endless:
            return
        *lines, self._line = (self._line + data).split(b"\n")
        self._endless = len(self._line) > _LONGEST_LINE
        for line in lines:
            if not self._in_body:
                self._in_body = not line.strip()  # after the head and its blank line
                continue
            try:
                self._take_binary(base64.b64decode(line.strip(), validate=True))
            except binascii.Error:  # the end, or damage
                self._endless = True

    def _take_binary(self, data: bytes) -> None:
        self._seen += len(data)
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

    @property
    def bare(self) -> bool:
        """Whether the message has no proof of its integrity."""
        return self._tag == _BARE

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
        self._parts += 1
        self._endless = self._parts > _FREE_PARTS + self._seen // _SMALLEST_PART
