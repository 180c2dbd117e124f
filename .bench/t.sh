cd /root/scratch/i6/g
.venv/bin/python -c "from harness import build; import sys; sys.exit(build.run_in_image('tools',['python3','-m','pytest','-q','-p','no:cacheprovider','tests/unit/gro','tests/unit/controller','tests/unit/manager','-x']))" > .bench/unit.log 2>&1
.venv/bin/python -c "from harness import build; import sys; sys.exit(build.run_in_image('tools',['python3','-m','pytest','-q','-p','no:cacheprovider','tests/unit/yangkit']))" > .bench/yang.log 2>&1
