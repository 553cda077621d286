import CLibBPF

/// The calls for which the kernel takes a socket's lock: getsockname, getpeername, and putting the socket into a map.
///
/// Another holder of the socket can keep the lock for as long as it likes, by a call such as send with memory whose page
/// never comes. Waiting for the lock cannot be interrupted, not even by SIGKILL. A process that handles the sockets of
/// others leaves these calls to one that it can afford to lose.
package protocol LockingCalls: Sendable {
    /// Inspects sockets.
    ///
    /// - Returns: For each socket its facts, or the reason why it cannot be steered to.
    /// - Throws: `busy` if the inspection was given up.
    func inspect(_ descriptors: [CInt]) throws(SteeringError) -> [Result<SteerableSocket, SteeringError>]

    /// Puts a socket into a map of sockets, in place of any other.
    ///
    /// - Throws: `systemCall`; `busy` if it was given up.
    func put(_ descriptor: CInt, into map: CInt, at slot: UInt32) throws(SteeringError)
}

extension LockingCalls {
    /// Inspects a socket.
    func inspect(_ descriptor: CInt) throws(SteeringError) -> SteerableSocket {
        try inspect([descriptor])[0].get()
    }
}

/// The calls in this process, which may block.
package struct DirectCalls: LockingCalls {
    package init() {}

    package func inspect(_ descriptors: [CInt]) throws(SteeringError) -> [Result<SteerableSocket, SteeringError>] {
        descriptors.map { descriptor in
            do throws(SteeringError) { return .success(try SteerableSocket(descriptor)) } catch {
                return .failure(error)
            }
        }
    }

    package func put(_ descriptor: CInt, into map: CInt, at slot: UInt32) throws(SteeringError) {
        var (slot, value) = (slot, UInt64(descriptor))
        try call("bpf_map_update_elem(sockets)") { bpf_map_update_elem(map, &slot, &value, UInt64(BPF_ANY)) }
    }
}

/// A socket that a lost process may still put into a map: it waits for the socket's lock.
package struct LateEntry: Sendable {
    private let map: SharedDescriptor
    private let slot: UInt32
    private let cookie: SocketCookie

    package init(_ cookie: SocketCookie, _ map: CInt, _ slot: UInt32) throws(SteeringError) {
        (self.cookie, self.slot) = (cookie, slot)
        self.map = SharedDescriptor(try OwnedDescriptor.duplicate(map))
    }

    /// Empties the slot if the socket is in it.
    fileprivate func remove() throws(SteeringError) {
        try map.lend { map throws(SteeringError) in
            var (slot, found) = (slot, UInt64(0))
            guard uninterrupted({ bpf_map_lookup_elem(map, &slot, &found) }) == 0, found == cookie.rawValue else {
                return
            }
            try call("bpf_map_delete_elem(sockets)") { bpf_map_delete_elem(map, &slot) }
        }
    }
}

extension SockMap {
    /// Removes a socket that a lost process has put into the map after all, when nobody expected it any more.
    package func remove(_ late: LateEntry) throws(SteeringError) {
        try steering.changing { _ throws(SteeringError) in try late.remove() }
    }
}
