"""Run by test_cluster.py: a Ray cluster of two nodes with a CPU each, on 127.0.0.1. Prints its address.

Each line of input ends the second node as a machine ends whose power is cut. The end of input ends all.
"""

import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "num_gpus": 0, "node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    second = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    try:
        for _ in sys.stdin:
            cluster.remove_node(second, allow_graceful=False)
            print("gone", flush=True)
    finally:
        cluster.shutdown()
