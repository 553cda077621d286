import CSteering
import Glibc
import Steering

/// Waits for descriptors to become readable (epoll).
package struct EventPoll: ~Copyable {
    private let descriptor: OwnedDescriptor
    private var events = [epoll_event](repeating: epoll_event(), count: 128)

    package init() throws(SteeringError) {
        descriptor = OwnedDescriptor(
            owning: try systemCall("epoll_create1") { epoll_create1(CInt(EPOLL_CLOEXEC)) })
    }

    /// The epoll descriptor, which another one can watch: it is readable when a watched descriptor is.
    package var rawValue: CInt { descriptor.rawValue }

    /// Watches a descriptor until all its duplicates are closed.
    package func watch(_ watched: CInt) throws(SteeringError) {
        var event = epoll_event(
            events: EPOLLIN.rawValue | EPOLLRDHUP.rawValue, data: epoll_data_t(fd: watched))
        try systemCall("epoll_ctl") { epoll_ctl(descriptor.rawValue, EPOLL_CTL_ADD, watched, &event) }
    }

    /// Watches a descriptor only for errors and hang-up.
    package func mute(_ watched: CInt) throws(SteeringError) {
        var event = epoll_event(events: 0, data: epoll_data_t(fd: watched))
        try systemCall("epoll_ctl") { epoll_ctl(descriptor.rawValue, EPOLL_CTL_MOD, watched, &event) }
    }

    /// Stops watching a descriptor. Closing it does the same only if no duplicate of it is open.
    package func forget(_ watched: CInt) {
        epoll_ctl(descriptor.rawValue, EPOLL_CTL_DEL, watched, nil)
    }

    /// Returns readable descriptors, at most 128 at a time.
    ///
    /// - Parameter timeout: How long to wait; nil for no limit.
    /// - Returns: The descriptors; none after the timeout.
    /// - Throws: `systemCall`.
    package mutating func wait(_ timeout: Duration?) throws(SteeringError) -> [CInt] {
        let milliseconds = timeout.map { CInt(clamping: Int(($0 / .milliseconds(1)).rounded(.up))) } ?? -1
        let count = try systemCall("epoll_wait") {
            epoll_wait(descriptor.rawValue, &events, CInt(events.count), milliseconds)
        }
        return events.prefix(Int(count)).map(\.data.fd)
    }
}

/// Wakes up a thread that waits (eventfd), and passes it numbers, which add up until they are taken.
package final class WakeUp: Sendable {
    private let descriptor: OwnedDescriptor

    package init() throws(SteeringError) {
        descriptor = OwnedDescriptor(
            owning: try systemCall("eventfd") { eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK)) })
    }

    /// The eventfd, readable when the sum is not 0.
    package var rawValue: CInt { descriptor.rawValue }

    /// Adds a number to the sum.
    package func add(_ number: UInt64) { eventfd_write(rawValue, number) }

    /// Returns the sum and resets it to 0.
    package func take() -> UInt64 {
        var value: eventfd_t = 0
        return eventfd_read(rawValue, &value) == 0 ? value : 0
    }
}
