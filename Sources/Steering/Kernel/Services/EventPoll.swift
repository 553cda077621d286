import CSteering
import Glibc

/// Waits for descriptors that can be read (epoll).
package struct EventPoll: ~Copyable {
    private let descriptor: OwnedDescriptor
    private var events = [epoll_event](repeating: epoll_event(), count: 128)

    package init() throws(SteeringError) {
        descriptor = OwnedDescriptor(
            owning: try systemCall("epoll_create1") { epoll_create1(CInt(EPOLL_CLOEXEC)) })
    }

    /// The descriptor of all of it, which another can watch: readable when one of those watched is.
    package var rawValue: CInt { descriptor.rawValue }

    /// Watches a descriptor until it is closed, wherever it was duplicated to.
    package func watch(_ watched: CInt) throws(SteeringError) {
        var event = epoll_event(
            events: EPOLLIN.rawValue | EPOLLRDHUP.rawValue, data: epoll_data_t(fd: watched))
        try systemCall("epoll_ctl") { epoll_ctl(descriptor.rawValue, EPOLL_CTL_ADD, watched, &event) }
    }

    /// Watches a descriptor only for its other end to be closed.
    package func mute(_ watched: CInt) throws(SteeringError) {
        var event = epoll_event(events: 0, data: epoll_data_t(fd: watched))
        try systemCall("epoll_ctl") { epoll_ctl(descriptor.rawValue, EPOLL_CTL_MOD, watched, &event) }
    }

    /// Watches a descriptor no more. To close it does the same only where nobody else has the same file open.
    package func forget(_ watched: CInt) {
        epoll_ctl(descriptor.rawValue, EPOLL_CTL_DEL, watched, nil)
    }

    /// Some of the descriptors that can be read; none after the timeout, nil for no timeout.
    package mutating func wait(_ timeout: Duration?) throws(SteeringError) -> [CInt] {
        let milliseconds = timeout.map { CInt(clamping: Int(($0 / .milliseconds(1)).rounded(.up))) } ?? -1
        let count = try systemCall("epoll_wait") {
            epoll_wait(descriptor.rawValue, &events, CInt(events.count), milliseconds)
        }
        return events.prefix(Int(count)).map(\.data.fd)
    }
}

/// What threads wake another with that waits (eventfd): bits, which add up until they are taken.
package final class WakeUp: Sendable {
    private let descriptor: OwnedDescriptor

    package init() throws(SteeringError) {
        descriptor = OwnedDescriptor(
            owning: try systemCall("eventfd") { eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK)) })
    }

    /// Readable when there is something.
    package var rawValue: CInt { descriptor.rawValue }

    /// Adds a number.
    package func add(_ number: UInt64) { eventfd_write(rawValue, number) }

    /// The sum of the numbers since the last time.
    package func take() -> UInt64 {
        var value: eventfd_t = 0
        return eventfd_read(rawValue, &value) == 0 ? value : 0
    }
}
