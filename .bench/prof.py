import time, cProfile, pstats, sys
from pathlib import Path
sys.path.insert(0,'tests/unit/controller/intent')
import conftest as o
from controller.intent import DeviceFacts, allocate, compile, find_driver, pops, read
from controller.service.network import join
from controller.service.compile import compile_network
from controller.service.entries import edit, owned_keys, from_xml, drift, entries
from yangkit import Schema, treejson, treexml
from controller.service import intent as I
T,S=16,4
inv={"vmsr-1":o.INVENTORY["vmsr-1"]}
vpns=[];sites=[]
for t in range(1,T+1):
    inv[f"ucpe-{t}"]=DeviceFacts(f"ucpe-{t}",f"U{t}","ucpe-100","ucpe",f"192.0.2.{4*t+2}",f"192.0.2.{4*t+1}")
    vpns+=[o.vpn(f"v{t}",f"tenant-{t}"),o.vpn(f"i{t}",f"tenant-{t}",internet=True)]
    for s in range(1,S+1):
        sites.append(o.site(f"tenant-{t}.site-{s}",f"ucpe-{t}",f"10.{s}.0.1/24",*([f"v{t}",f"i{t}"] if s==1 else [f"v{t}"]),mode="bridged",vlan=10*s))
tree=o.order(vpns,sites)
def t(name,f,n=3):
    best=9
    for _ in range(n):
        b=time.process_time(); r=f(); best=min(best,time.process_time()-b)
    print(f"{name:40s} {best*1000:8.1f} ms"); return r
intent=t("read intent",lambda:read(tree))
alloc=t("allocate",lambda:allocate(intent,pops(inv),{}))
net=t("join",lambda:join(intent,inv,alloc))
trees=t("compile",lambda:compile_network(net,inv))
v=trees["vmsr-1"]
d=find_driver("vmsr-x86","vmsr"); schema=d.schema(o.MODELS)
t("owned_keys vmsr",lambda:owned_keys(v,schema))
loaded=t("treejson.load",lambda:treejson.load(schema,v))
xml=t("treexml.dump",lambda:treexml.dump(loaded))
print(len(xml)//1024,"KiB", len(entries(schema,v)),"entries")
actual=t("from_xml vmsr",lambda:from_xml(schema,f"<config>{xml}</config>"))
t("drift",lambda:drift(actual,v,schema))
owned=owned_keys(v,schema)
t("edit same",lambda:edit(owned,v,schema,actual))
# one tenant less there
import copy
small={k:w for k,w in inv.items()}
t("edit all new",lambda:edit(frozenset(),v,schema,{}))
if len(sys.argv)>1:
    p=cProfile.Profile(); p.enable(); edit(owned,v,schema,actual); p.disable()
    pstats.Stats(p).sort_stats('cumtime').print_stats(35)
    p=cProfile.Profile(); p.enable(); from_xml(schema,f"<config>{xml}</config>"); p.disable()
    pstats.Stats(p).sort_stats('tottime').print_stats(25)
