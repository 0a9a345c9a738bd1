# Written by provision. Arguments: the service range, this node's address.
# Connections to Services are taken by kube-proxy's rules, but the kernel asks them only for what it knows a way for. A host
# without a default route knows none: there the range gets one over the interface that leads to the other nodes.
set -eu
range=$1 address=$2
[ -z "$(ip -4 route show default)" ] || exit 0
# Fields: a number, the interface, the rest.
# shellcheck disable=SC2046
set -- $(ip -o -4 address show to "$address")
exec ip -4 route replace "$range" dev "$2" src "$address"
