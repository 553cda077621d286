import KernelTestSupport
import NIOCore
import NIOEmbedded
import Steering
import SteeringNIO
import Testing

/// Channels, worker groups and services, in processes whose threads are in the namespace.
@Suite(.kernel)
struct ChannelTests {
    @Test("Every worker of a group gets connections, and those that are left take over from each that closes")
    func workers() throws {
        let output = try Scene.run(
            "steering-nio-probe workers",
            """
            ask() { (exec 3<>/dev/tcp/$1/80 && read -t 5 -u 3 line && echo "${line%% at*}") 2>/dev/null; }
            for left in 4 3 2 1; do
                for i in $(seq 40); do ask 192.0.2.$i; done | sort -u | wc -l
                (exec 3<>/dev/tcp/192.0.2.200/80 && echo close >&3 && sleep 0.3)
            done
            socat -u TCP:192.0.2.1:80 - </dev/null 2>&1 | grep -om1 "Connection refused"
            """)
        #expect(output == "4\n3\n2\n1\nConnection refused\n")
    }

    @Test("A connection knows what was asked and by whom, of both families")
    func ends() throws {
        let output = try Scene.run(
            "steering-nio-probe workers",
            """
            for address in 192.0.2.9 2001:db8:7::9; do
                exec 3<>/dev/tcp/$address/80
                read -t $PATIENCE -u 3 line; echo "$line" | sed "s/worker .//; s/:[0-9]*$//"
            done
            """)
        #expect(output == " at 192.0.2.9:80 for 203.0.113.2\n at [2001:db8:7::9]:80 for [2001:db8:ffff::2]\n")
    }

    @Test("A service that ends takes nothing new, and lets what is there go on until it is drained")
    func service() throws {
        let output = try Scene.run(
            "steering-nio-probe service",
            """
            coproc socat - TCP:192.0.2.9:80
            read -t $PATIENCE -u ${COPROC[0]} line; echo "${line%% at*}"
            kill -TERM $server
            await grep -q draining $log
            socat -u TCP:192.0.2.9:80 - </dev/null 2>&1 | grep -om1 "Connection refused"
            echo still here >&${COPROC[1]}; read -t $PATIENCE -u ${COPROC[0]} line; echo "$line"
            while here kill -0 $server 2>/dev/null; do sleep 0.05; done
            grep drain $log
            """)
        #expect(output == "worker 1\nConnection refused\nstill here\ndraining\ndrained\n")
    }

    @Test("Asynchronous channels are registered as others are, and echo both protocols on any port")
    func asyncChannels() throws {
        let output = try Scene.run(
            "steering-nio-probe async",
            """
            echo tcp4 | socat -t 10 - TCP:192.0.2.99:7777,shut-none,readbytes=5
            echo tcp6 | socat -t 10 - "TCP:[2001:db8:7::77]:1,shut-none,readbytes=5"
            python3 \(Scene.file("udp-pairs.py")) 200 192.0.2.0/24
            python3 \(Scene.file("udp-pairs.py")) 200 2001:db8:7::/64
            """)
        #expect(output == "tcp4\ntcp6\n200 answered, 0 wrong, 0 silent\n200 answered, 0 wrong, 0 silent\n")
    }

    @Test("Datagram channels leave nothing open, whenever they are closed")
    func cycles() throws {
        let output = try Scene.run("steering-nio-probe cycles", "cat $log")
        #expect(output == "descriptors as before\nanswering\n")
    }

    @Test("A channel without a socket is refused by name")
    func withoutSocket() async throws {
        let channel = NIOAsyncTestingChannel()
        await #expect {
            try await SteeringClient("/nonexistent").register(channel, as: "web")
        } throws: {
            ($0 as? SteeringError)?.code == .notASocket && "\($0)".contains("NIOAsyncTestingChannel")
        }
    }
}

@Suite
struct SocketAddressesTests {
    @Test(
        "Addresses are the same in NIO's form and in ours",
        arguments: ["192.0.2.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[2001:db8::1:2]:443", "[::1]:53"])
    func conversion(text: String) throws {
        let address = try Steering.SocketAddress(text)
        let nio = NIOCore.SocketAddress(address)
        #expect(Steering.SocketAddress(nio) == address)
        #expect(nio.port == Int(address.port) && nio.ipAddress == address.address.description)
    }

    @Test("A mapped address becomes IPv4, and a path no address")
    func others() throws {
        let mapped = try NIOCore.SocketAddress(ipAddress: "::ffff:192.0.2.1", port: 80)
        #expect(Steering.SocketAddress(mapped)?.description == "192.0.2.1:80")
        #expect(Steering.SocketAddress(try NIOCore.SocketAddress(unixDomainSocketPath: "/tmp/a")) == nil)
    }
}
