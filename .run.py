import sys, asyncio, faulthandler
faulthandler.dump_traceback_later(35, exit=True)
import pytest
sys.exit(pytest.main(["-q","-p","no:cacheprovider","-x","--show-capture=no",*sys.argv[1:]]))
