import CLibBPF
import CSteering
import Glibc

/// The properties of a registered socket, recorded because only processes that hold its descriptor can query them.
struct Registration: Sendable, Hashable {
    let cookie: SocketCookie
    let boundAddress: SocketAddress
    let isReuseport: Bool
    let isDualStack: Bool
    /// Whether it drops all packets, for the time in which the label has no other socket: see ``StandbySocket``.
    var isStandby: Bool

    /// Whether two sockets of one protocol are in the same SO_REUSEPORT group: no others can be bound to one address.
    func isGroup(with other: Registration) -> Bool {
        isReuseport && other.isReuseport && boundAddress == other.boundAddress && isDualStack == other.isDualStack
    }
}

/// The maps `sockets` and `registrations`: the slots of each destination, and the sockets in them.
struct SocketSlots {
    private let sockets: CInt
    private let registrations: CInt
    private let calls: any LockingCalls

    init(_ plane: DataPlane, _ calls: any LockingCalls = DirectCalls()) {
        sockets = plane[.sockets]
        registrations = plane[.registrations]
        self.calls = calls
    }

    static let perDestination = Int(STEERING_SLOTS)

    /// The slots of a destination without sockets.
    static let empty = [Registration?](repeating: nil, count: perDestination)

    /// An occupied slot.
    struct Taken {
        let destination: UInt32
        let slot: Int
        let registration: Registration
    }

    /// Returns the registrations in a destination's slots; nil for an empty slot.
    func registrations(at destination: UInt32) throws(SteeringError) -> [Registration?] {
        var found: [Registration?] = []
        for slot in (0..<Self.perDestination).map({ Self.slot(destination, $0) }) {
            guard let cookie = try cookie(at: slot) else {
                found.append(nil)
                continue
            }
            let key = steering_registration_key(cookie: cookie.rawValue, slot: slot, reserved: 0)
            // A socket without a record was put there by other software, such as `bpftool map update`.
            found.append(try registration(key) ?? Registration(unrecorded: cookie))
        }
        return found
    }

    /// Returns the occupied slots, in the order of destinations and slots.
    func all() throws(SteeringError) -> [Taken] {
        let limit = UInt32(STEERING_MAX_DESTINATIONS)
        var taken: [Taken] = []
        for key in try recorded() {
            guard try cookie(at: key.slot)?.rawValue == key.cookie, let registration = try registration(key) else {
                continue
            }
            taken.append(
                Taken(destination: key.slot % limit, slot: Int(key.slot / limit), registration: registration))
        }
        return taken.sorted { ($0.destination, $0.slot) < ($1.destination, $1.slot) }
    }

    /// Returns the numbers of the labels that have a socket.
    func labelsInUse() throws(SteeringError) -> Set<UInt32> {
        Set(try all().map { $0.destination / UInt32(STEERING_DESTINATIONS_PER_LABEL) })
    }

    /// Puts a socket into a slot, replacing any other. The map does not keep the socket open: the entry disappears when
    /// its last descriptor is closed.
    func set(_ descriptor: CInt, _ registration: Registration, at destination: UInt32, slot: Int) throws(SteeringError)
    {
        let slot = Self.slot(destination, slot)
        var key = steering_registration_key(cookie: registration.cookie.rawValue, slot: slot, reserved: 0)
        var record = steering_registration(registration)
        try call("bpf_map_update_elem(registrations)") {
            bpf_map_update_elem(registrations, &key, &record, UInt64(BPF_ANY))
        }
        // If this fails, the record remains without its socket, until the next `forgetGone`.
        try calls.put(descriptor, into: sockets, at: slot)
    }

    /// Empties a slot. An empty slot is no error: its socket may just have been closed.
    func clear(at destination: UInt32, slot: Int) throws(SteeringError) {
        var slot = Self.slot(destination, slot)
        let result = uninterrupted { bpf_map_delete_elem(sockets, &slot) }
        if result < 0, result != -ENOENT, result != -EINVAL { throw .failed("bpf_map_delete_elem(sockets)", -result) }
    }

    /// Removes the records of sockets that are no longer in their slot.
    func forgetGone() throws(SteeringError) {
        for var key in try recorded() where try cookie(at: key.slot)?.rawValue != key.cookie {
            let result = uninterrupted { bpf_map_delete_elem(registrations, &key) }
            if result != -ENOENT { try call("bpf_map_delete_elem(registrations)", result) }
        }
    }

    private static func slot(_ destination: UInt32, _ slot: Int) -> UInt32 {
        destination + UInt32(slot) * UInt32(STEERING_MAX_DESTINATIONS)
    }

    private func cookie(at slot: UInt32) throws(SteeringError) -> SocketCookie? {
        var slot = slot
        var cookie: UInt64 = 0
        let result = uninterrupted { bpf_map_lookup_elem(sockets, &slot, &cookie) }
        if result == -ENOENT { return nil }
        try call("bpf_map_lookup_elem(sockets)", result)
        return SocketCookie(cookie)
    }

    /// Returns the record of a socket; nil if it is gone.
    private func registration(_ key: steering_registration_key) throws(SteeringError) -> Registration? {
        var key = key
        var record = steering_registration()
        let result = uninterrupted { bpf_map_lookup_elem(registrations, &key, &record) }
        if result == -ENOENT { return nil }
        try call("bpf_map_lookup_elem(registrations)", result)
        return Registration(SocketCookie(key.cookie), record)
    }

    private func recorded() throws(SteeringError) -> [steering_registration_key] {
        var keys: [steering_registration_key] = []
        var last: steering_registration_key?
        var next = steering_registration_key()
        // Limited, because the kernel restarts the iteration if the last key is deleted in the meantime.
        while keys.count < Int(STEERING_MAX_DESTINATIONS * STEERING_SLOTS) {
            let result = uninterrupted {
                guard var key = last else { return bpf_map_get_next_key(registrations, nil, &next) }
                return bpf_map_get_next_key(registrations, &key, &next)
            }
            if result == -ENOENT { break }
            try call("bpf_map_get_next_key(registrations)", result)
            keys.append(next)
            last = next
        }
        return keys
    }
}

extension Registration {
    fileprivate init(unrecorded cookie: SocketCookie) {
        self.init(
            cookie: cookie, boundAddress: SocketAddress(IPAddress(ipv4: 0), port: 0), isReuseport: false,
            isDualStack: false, isStandby: false)
    }

    fileprivate init(_ cookie: SocketCookie, _ record: steering_registration) {
        self.cookie = cookie
        let isIPv6 = Int(record.flags) & STEERING_SOCKET_IPV6 != 0
        boundAddress = SocketAddress(
            IPAddress(bytes: bytes(of: record.address).prefix(isIPv6 ? 16 : 4))!, port: record.port)
        isReuseport = Int(record.flags) & STEERING_SOCKET_REUSEPORT != 0
        isDualStack = Int(record.flags) & STEERING_SOCKET_DUAL_STACK != 0
        isStandby = Int(record.flags) & STEERING_SOCKET_STANDBY != 0
    }
}

extension steering_registration {
    fileprivate init(_ registration: Registration) {
        self.init()
        port = registration.boundAddress.port
        withUnsafeMutableBytes(of: &address) { $0.copyBytes(from: registration.boundAddress.address.bytes) }
        var flags = 0
        if registration.isReuseport { flags |= STEERING_SOCKET_REUSEPORT }
        if registration.boundAddress.address.family == .ipv6 { flags |= STEERING_SOCKET_IPV6 }
        if registration.isDualStack { flags |= STEERING_SOCKET_DUAL_STACK }
        if registration.isStandby { flags |= STEERING_SOCKET_STANDBY }
        self.flags = UInt16(flags)
    }
}
