/// Sockets that are to be registered, and the slots of their destinations that they get: all of them or none.
///
/// Nothing is changed until it is performed, and then in two parts. First the kernel takes every socket: into a slot
/// that is free, which for those that are to replace another one is that of a stand-in. What fails there is taken
/// back. Then those that replace get their slot, one step for each destination, and what they replace is taken out;
/// the kernel has no reason to refuse them any more, and if it does, the stand-in stays.
struct SocketPlacement {
    /// A socket, and what is known of it.
    struct Candidate {
        let descriptor: CInt
        let label: Label
        let facts: SteerableSocket
        /// Whether it takes what comes while the label has no other: in the last slot, also where a stand-in has that.
        let isStandby: Bool

        init(_ descriptor: CInt, _ label: Label, isStandby: Bool = false) throws(SteeringError) {
            self.descriptor = descriptor
            self.label = label
            self.isStandby = isStandby
            facts = try SteerableSocket(descriptor)
        }

        var registration: Registration {
            var registration = facts.registration
            registration.isStandby = isStandby
            return registration
        }

        var destinations: [Destination] { facts.families.map { Destination(label, $0, facts.transport) } }
    }

    /// What a destination's slots hold, and what they are to hold.
    private struct Change {
        let former: [Registration?]
        var wanted: [Registration?]

        /// Slots that no one has or is to have.
        var spare: [Int] { former.indices.filter { former[$0] == nil && wanted[$0] == nil } }
        var filled: [Int] {
            former.indices.filter { wanted[$0] != nil && wanted[$0]?.cookie != former[$0]?.cookie }
        }
        var emptied: [Int] { former.indices.filter { wanted[$0] == nil && former[$0] != nil } }
    }

    private let candidates: [Candidate]
    private var changes: [Destination: Change] = [:]

    /// Decides who gets which slot.
    ///
    /// - Parameters:
    ///   - replacing: Whether they take the place of those that are there.
    ///   - former: What the slots of a destination hold.
    /// - Throws: `destinationOccupied`; what `former` throws.
    init(
        _ candidates: [Candidate], replacing: Bool, former: (Destination) throws(SteeringError) -> [Registration?]
    ) throws(SteeringError) {
        self.candidates = candidates
        var replaced: Set<Destination> = []
        for candidate in candidates {
            // Members of a group stand beside the first that took the place.
            let takesPlace = replacing && replaced.isDisjoint(with: candidate.destinations)
            if takesPlace { replaced.formUnion(candidate.destinations) }
            for destination in candidate.destinations {
                if changes[destination] == nil {
                    let slots = try former(destination)
                    changes[destination] = Change(former: slots, wanted: slots)
                }
                try place(candidate.registration, at: destination, takesPlace)
            }
        }
    }

    private mutating func place(
        _ socket: Registration, at destination: Destination, _ takesPlace: Bool
    ) throws(SteeringError) {
        var slots = changes[destination]!.wanted
        let last = slots.indices.last!
        if socket.isStandby {
            slots[last] = socket
        } else if takesPlace {
            slots = slots.map { $0?.isStandby == true ? $0 : nil }
            slots[0] = socket
        } else {
            let others = slots.compactMap { $0 }.filter { !$0.isStandby }
            if others.contains(where: { $0.cookie == socket.cookie }) { return }
            guard others.isEmpty || others.contains(where: { $0.isGroup(with: socket) }) else {
                throw .occupied(destination)
            }
            // More than there are slots for are no error.
            if let free = slots.firstIndex(where: { $0 == nil }) { slots[free] = socket }
        }
        changes[destination]!.wanted = slots
    }

    /// What will be registered of the sockets, once for each destination.
    var registered: [RegisteredSocket] {
        let own = Dictionary(grouping: candidates, by: \.label).mapValues { Set($0.map(\.facts.cookie)) }
        return changes.keys.sorted().flatMap { destination in
            let sockets = changes[destination]!.wanted.compactMap { $0 }
            return sockets.enumerated().filter { own[destination.label]!.contains($0.element.cookie) }.map {
                RegisteredSocket(
                    destination: destination, cookie: $0.element.cookie, boundAddress: $0.element.boundAddress,
                    isStandIn: $0.offset > 0, isReuseport: $0.element.isReuseport)
            }
        }
    }

    /// Does it.
    ///
    /// - Parameter numbers: Of the labels.
    /// - Throws: `systemCall`; then nothing has changed.
    func perform(_ numbers: LabelNumbers, in slots: SocketSlots) throws(SteeringError) {
        let descriptors = Dictionary(candidates.map { ($0.facts.cookie, $0.descriptor) }) { first, _ in first }
        func set(_ socket: Registration, _ place: Place) throws(SteeringError) {
            try slots.set(descriptors[socket.cookie]!, socket, at: place.destination, slot: place.slot)
        }
        func clear(_ place: Place) throws(SteeringError) {
            try settled { () throws(SteeringError) in try slots.clear(at: place.destination, slot: place.slot) }
        }

        var steps = Steps()
        do throws(SteeringError) {
            for (destination, change) in changes {
                try steps.take(
                    change, at: destination.number(labelNumber: numbers[destination.label]!), set: set)
            }
        } catch {
            for place in steps.taken { try? clear(place) }
            throw error
        }
        for step in steps.replacements {
            do throws(SteeringError) {
                try settled { () throws(SteeringError) in try set(step.socket, step.place) }
            } catch {
                // Without a stand-in everything is as it was, or the stand-in takes over when its place is empty.
                guard step.standIn != nil else { throw error }
                try clear(step.place)
                continue
            }
            if let standIn = step.standIn { try clear(standIn) }
        }
        for place in steps.emptied { try clear(place) }
    }

    private struct Place {
        let destination: UInt32
        let slot: Int
    }

    private struct Steps {
        /// Done, and can be taken back.
        var taken: [Place] = []
        /// To be done.
        var replacements: [(socket: Registration, place: Place, standIn: Place?)] = []
        var emptied: [Place] = []

        mutating func take(
            _ change: Change, at destination: UInt32, set: (Registration, Place) throws(SteeringError) -> Void
        ) throws(SteeringError) {
            var spare = change.spare[...]
            for slot in change.filled {
                let socket = change.wanted[slot]!
                let place = Place(destination: destination, slot: slot)
                let isFree = change.former[slot] == nil
                let taken = isFree ? place : spare.popFirst().map { Place(destination: destination, slot: $0) }
                if let taken {
                    self.taken.append(taken)
                    try set(socket, taken)
                }
                if !isFree { replacements.append((socket, place, taken)) }
            }
            emptied += change.emptied.map { Place(destination: destination, slot: $0) }
        }
    }
}
