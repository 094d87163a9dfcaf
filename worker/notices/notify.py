"""Decides which reader is told of which reading now, and offers the notices to the outbox."""

import logging
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from threading import Event

from jobs.callbacks.url import origin_of
from jobs.reading.notices import NoticeIndex, Stage, notice_due
from jobs.reading.quiet_hours import quiet_hours
from jobs.reading.reader import Reader
from jobs.reading.readers import Readers
from jobs.reading.reading import Reading
from jobs.reading.readings import Readings
from jobs.record.errors import NotStored, StoreUnavailable, TransientError
from jobs.record.job import now
from jobs.record.states import Priority
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.web_push.subscriptions import PushSubscription, PushSubscriptions
from jobs.web_push.vapid import Vapid, contact_of
from worker.notices import message
from worker.notices.lease import Lease
from worker.notices.mail import MailServer
from worker.notices.metrics import REFUSED, SENT, UNANSWERED
from worker.notices.outbox import Notice, Outbox
from worker.notices.web_push import WebPush

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds between two rounds."""
_MOST = 500
"""Most entries of the index that one round looks at."""
_SOONEST, _LATEST = timedelta(seconds=10), timedelta(minutes=15)
"""Time after which a notice is tried again: a quarter of its age, within these two."""
_AFTER_ERROR = timedelta(minutes=10)
_AFTER_FAILURE = timedelta(minutes=1)
"""Time after which a reading is looked at again for which the object store failed."""
_GONE = (404, 410)


@dataclass(frozen=True)
class NoticeContext:
    """What telling readers needs. Without a `mail_server` no e-mail is sent."""

    ledger: Ledger
    readers: Readers
    subscriptions: PushSubscriptions
    mail_server: MailServer | None
    mail_from: str
    web_push: WebPush
    public_url: str
    seconds: float
    """Longest time that the server may take for one e-mail."""

    @classmethod
    def of(cls, settings: Settings, ledger: Ledger) -> "NoticeContext":
        """Return what these settings say."""
        contact = contact_of(settings.mail_from, settings.public_url)
        vapid = Vapid(settings.signing_key, contact or settings.public_url)
        return cls(
            ledger=ledger,
            readers=Readers(ledger.records),
            subscriptions=PushSubscriptions(ledger.records),
            mail_server=MailServer.of(settings.smtp_url) if settings.smtp_url else None,
            mail_from=settings.mail_from,
            web_push=WebPush(vapid, settings.callback_exceptions, settings.callback_seconds),
            public_url=settings.public_url,
            seconds=settings.callback_seconds,
        )


def notify_until(stop: Event, context: NoticeContext) -> None:
    """Tell readers round after round, while no other process does, until `stop` is set."""
    outbox, lease = Outbox(NoticeIndex(context.ledger.objects)), Lease(context.ledger.view.redis)
    while not stop.wait(PAUSE):
        try:
            if lease.held():
                notify(now(), context, outbox)
        except TransientError as error:
            log.warning("this round of notices ended early: %s", error)
        except Exception:
            log.exception("this round of notices broke")


def notify(at: datetime, context: NoticeContext, outbox: Outbox) -> None:
    """Offer the notices that are due at this time. Raises TransientError where a store does not answer."""
    index, people = NoticeIndex(context.ledger.objects), _People(context)
    for entry in list(islice(index.passed(at), _MOST)):
        reading_id, stage = notice_due(entry.name)
        try:
            again = _offer(reading_id, stage, at, context, people, outbox, index)
        except StoreUnavailable as error:
            # It may fail for this alone, and always. Where it fails for all, so does the next write.
            log.warning("no reader can be told of this reading now: %s: %s", reading_id, error)
            again = at + _AFTER_FAILURE
        except TransientError:
            raise
        except Exception:
            log.exception("no reader can be told of this reading now: %s", reading_id)
            again = at + _AFTER_ERROR
        if again:
            index.put(reading_id, stage, again)
        index.remove(entry)


@dataclass
class _People:
    """The readers, as one round has read them, if it needed them."""

    context: NoticeContext
    _subscriptions: dict[str, list[PushSubscription]] = field(default_factory=dict)

    @cached_property
    def _readers(self) -> list[Reader]:
        return [reader for reader in self.context.readers.all() if not reader.disabled_at]

    def of(self, reading: Reading) -> Iterator[Reader]:
        """Return those who may claim this reading."""
        for reader in self._readers:
            if reader.reads_for(frozenset(reading.groups)) and reader.id not in reading.excluded:
                yield reader

    def subscriptions(self, reader: Reader) -> list[PushSubscription]:
        if reader.id not in self._subscriptions:
            self._subscriptions[reader.id] = self.context.subscriptions.of(reader.id)
        return self._subscriptions[reader.id]


def _offer(
    reading_id: str,
    stage: Stage,
    at: datetime,
    context: NoticeContext,
    people: _People,
    outbox: Outbox,
    index: NoticeIndex,
) -> datetime | None:
    """Offer the notices of one stage of a reading. Return when to look again; None once all are told."""
    try:
        reading = Readings(context.ledger).read(reading_id)
    except NotStored:
        return None
    again: list[datetime] = []
    if stage.calls_for_readers(reading, at):
        told = index.told(reading.id, stage)
        retry = at + min(max((at - stage.begins(reading)) / 4, _SOONEST), _LATEST)
        for reader in people.of(reading):
            quiet_until = quiet_hours(reader.quiet).until(at) if reader.quiet else None
            if quiet_until and reading.priority is not Priority.STAT:
                again.append(quiet_until)
                continue
            for notice in _notices(reading, stage, reader, context, people):
                if notice.receiver not in told:
                    outbox.offer(notice)
                    again.append(retry)
    if not again and stage is Stage.DUE:
        index.forget(reading)
    return min(again, default=None)


def _notices(
    reading: Reading, stage: Stage, reader: Reader, context: NoticeContext, people: _People
) -> Iterator[Notice]:
    if reader.email and context.mail_server:
        send = partial(_send_mail, reading, stage, reader.email, context.mail_server, context)
        yield Notice(reading, stage, f"{reader.id}.mail", "mail", context.mail_server.host, send)
    for subscription in people.subscriptions(reader):
        send = partial(_send_push, reading, reader, subscription, context)
        origin = origin_of(subscription.endpoint)
        yield Notice(reading, stage, f"{reader.id}.{subscription.id}", "push", origin, send)


def _send_mail(reading: Reading, stage: Stage, to: str, server: MailServer, context: NoticeContext) -> str:
    if not to.isascii():  # Of a reader of an earlier version. It would pause the server for all others.
        log.warning("a reader's e-mail address is not in ASCII, and gets no mail")
        return REFUSED
    written = message.mail(reading, stage, to, context.mail_from, context.public_url)
    try:
        server.send(written, to, context.seconds)
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError):
        return REFUSED
    except Exception as error:
        # Without its text, which may have an address.
        log.warning("the mail server takes no mail: %s", type(error).__name__)
        return UNANSWERED
    return SENT


def _send_push(
    reading: Reading, reader: Reader, subscription: PushSubscription, context: NoticeContext
) -> str:
    urgent = reading.priority is Priority.STAT
    answer = context.web_push.send(subscription, message.PUSH, urgent, reading.id, now())
    if answer.status in _GONE:
        log.info("a push subscription has ended")
        context.subscriptions.remove(reader.id, subscription.id)
    if answer.accepted:
        return SENT
    return UNANSWERED if answer.status is None else REFUSED
