import CLibBPF
import CSteering
import Glibc

/// The map `sockets`: a run of slots for each destination.
struct SocketSlots {
    private let map: CInt

    init(_ plane: borrowing DataPlane) { map = plane.sockets.rawValue }

    static let perDestination = Int(STEERING_SLOTS)

    /// What a destination's slots hold.
    func cookies(at destination: UInt32) throws(SteeringError) -> [SocketCookie?] {
        var cookies: [SocketCookie?] = []
        for slot in 0..<Self.perDestination {
            var key = Self.key(destination, slot)
            var cookie: UInt64 = 0
            let result = bpf_map_lookup_elem(map, &key, &cookie)
            if result < 0, result != -ENOENT { throw .failed("bpf_map_lookup_elem(sockets)", -result) }
            cookies.append(result < 0 ? nil : SocketCookie(cookie))
        }
        return cookies
    }

    /// Puts a socket into a slot, whatever is there. The map keeps no socket open: its entry goes when
    /// the last descriptor is closed.
    func set(_ descriptor: CInt, at destination: UInt32, slot: Int) throws(SteeringError) {
        var key = Self.key(destination, slot)
        var value = UInt64(descriptor)
        try call("bpf_map_update_elem(sockets)", bpf_map_update_elem(map, &key, &value, UInt64(BPF_ANY)))
    }

    /// Empties a slot; one that is empty already, perhaps because the socket was just closed, stays so.
    func clear(at destination: UInt32, slot: Int) throws(SteeringError) {
        var key = Self.key(destination, slot)
        let result = bpf_map_delete_elem(map, &key)
        if result < 0, result != -ENOENT, result != -EINVAL { throw .failed("bpf_map_delete_elem(sockets)", -result) }
    }

    private static func key(_ destination: UInt32, _ slot: Int) -> UInt32 {
        destination + UInt32(slot) * UInt32(STEERING_MAX_DESTINATIONS)
    }
}
