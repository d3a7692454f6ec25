"""The plan runner as LLVM IR: walks a table of launches on one or several native threads.

Memory that Python fills and this code reads; all fields have eight bytes.

    job      0 launches  8 number of launches  16 buffer addresses  24 scalars  32 thread records
    launch   0 function  8 items  16 flags (1: all threads, 2: barrier before)
             24 buffer numbers  32 how many  40 scalar numbers  48 how many
    record   0 error code  8 detail  16 launch  24 scratch  32 room for addresses  40 … for scalars
    state    0 generation  64 arrived  128 phase  192 threads  200 job  208 stop  216 sleepers
             256 mutex  384 condition  512 thread handles, one for each worker
             1024 worker arguments, 16 bytes each: state, number

All threads walk the same table. A launch for all threads is cut into as many ranges of items; the
others are run by the first thread. Workers wait for a new generation: first spinning, then asleep.
"""

from __future__ import annotations

LAUNCH_BYTES = 56
RECORD_BYTES = 64
STATE_BYTES = 4096
MOST_THREADS = 64
PARALLEL = 1
BARRIER = 2

_GENERIC = """
define internal void @run_thread(ptr %job, ptr %state, i64 %number, i64 %threads) {
entry:
  %table = load ptr, ptr %job
  %count_at = getelementptr i8, ptr %job, i64 8
  %count = load i64, ptr %count_at
  %buffers_at = getelementptr i8, ptr %job, i64 16
  %buffers = load ptr, ptr %buffers_at
  %scalars_at = getelementptr i8, ptr %job, i64 24
  %scalars = load ptr, ptr %scalars_at
  %records_at = getelementptr i8, ptr %job, i64 32
  %records = load ptr, ptr %records_at
  %record_offset = mul i64 %number, 64
  %record = getelementptr i8, ptr %records, i64 %record_offset
  store i64 0, ptr %record
  %which_at = getelementptr i8, ptr %record, i64 16
  store i64 -1, ptr %which_at
  %scratch_at = getelementptr i8, ptr %record, i64 24
  %scratch = load ptr, ptr %scratch_at
  %own_buffers_at = getelementptr i8, ptr %record, i64 32
  %own_buffers = load ptr, ptr %own_buffers_at
  %own_scalars_at = getelementptr i8, ptr %record, i64 40
  %own_scalars = load ptr, ptr %own_scalars_at
  %alone = icmp eq i64 %threads, 1
  %first = icmp eq i64 %number, 0
  %after = add i64 %number, 1
  br label %launch
launch:
  %l = phi i64 [ 0, %entry ], [ %lnext, %done ]
  %offset = mul i64 %l, 56
  %here = getelementptr i8, ptr %table, i64 %offset
  %items_at = getelementptr i8, ptr %here, i64 8
  %items = load i64, ptr %items_at
  %flags_at = getelementptr i8, ptr %here, i64 16
  %flags = load i64, ptr %flags_at
  %wait_bit = and i64 %flags, 2
  %wait = icmp ne i64 %wait_bit, 0
  %lonely = xor i1 %alone, true
  %waits = and i1 %wait, %lonely
  br i1 %waits, label %barrier, label %cut
barrier:
  call void @barrier(ptr %state, i64 %threads)
  br label %cut
cut:
  %all_bit = and i64 %flags, 1
  %all = icmp ne i64 %all_bit, 0
  %low_part = mul i64 %items, %number
  %low_cut = udiv i64 %low_part, %threads
  %high_part = mul i64 %items, %after
  %high_cut = udiv i64 %high_part, %threads
  %high_first = select i1 %first, i64 %items, i64 0
  %low = select i1 %all, i64 %low_cut, i64 0
  %high = select i1 %all, i64 %high_cut, i64 %high_first
  %some = icmp slt i64 %low, %high
  br i1 %some, label %gather, label %done
gather:
  %slots_at = getelementptr i8, ptr %here, i64 24
  %slots = load ptr, ptr %slots_at
  %nslots_at = getelementptr i8, ptr %here, i64 32
  %nslots = load i64, ptr %nslots_at
  call void @pick(ptr %own_buffers, ptr %buffers, ptr %slots, i64 %nslots)
  %picks_at = getelementptr i8, ptr %here, i64 40
  %picks = load ptr, ptr %picks_at
  %npicks_at = getelementptr i8, ptr %here, i64 48
  %npicks = load i64, ptr %npicks_at
  call void @pick(ptr %own_scalars, ptr %scalars, ptr %picks, i64 %npicks)
  %function = load ptr, ptr %here
  call void %function(
    ptr %own_buffers, ptr %own_scalars, i64 %low, i64 %high, ptr %record, ptr %scratch)
  %code = load i64, ptr %record
  %failed = icmp ne i64 %code, 0
  %which = load i64, ptr %which_at
  %unset = icmp eq i64 %which, -1
  %set = and i1 %failed, %unset
  %now = select i1 %set, i64 %l, i64 %which
  store i64 %now, ptr %which_at
  br label %done
done:
  %lnext = add i64 %l, 1
  %more = icmp slt i64 %lnext, %count
  br i1 %more, label %launch, label %end
end:
  ret void
}

define internal void @pick(ptr %to, ptr %from, ptr %numbers, i64 %n) alwaysinline {
entry:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %end
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %number_at = getelementptr i64, ptr %numbers, i64 %i
  %number = load i64, ptr %number_at
  %source = getelementptr i64, ptr %from, i64 %number
  %value = load i64, ptr %source
  %target = getelementptr i64, ptr %to, i64 %i
  store i64 %value, ptr %target
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}

define internal i64 @failures(ptr %job, i64 %threads) {
entry:
  %records_at = getelementptr i8, ptr %job, i64 32
  %records = load ptr, ptr %records_at
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %total = phi i64 [ 0, %entry ], [ %sum, %loop ]
  %offset = mul i64 %i, 64
  %record = getelementptr i8, ptr %records, i64 %offset
  %code = load i64, ptr %record
  %sum = or i64 %total, %code
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %threads
  br i1 %more, label %loop, label %end
end:
  ret i64 %sum
}
"""

_ALONE = """
define internal void @barrier(ptr %state, i64 %threads) {
  ret void
}

define i64 @run_alone(ptr %job) {
  call void @run_thread(ptr %job, ptr null, i64 0, i64 1)
  %failed = call i64 @failures(ptr %job, i64 1)
  ret i64 %failed
}
"""

_THREADED = """
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()

define internal void @barrier(ptr %state, i64 %threads) {
entry:
  %arrived_at = getelementptr i8, ptr %state, i64 64
  %phase_at = getelementptr i8, ptr %state, i64 128
  %phase = load atomic i64, ptr %phase_at acquire, align 8
  %before = atomicrmw add ptr %arrived_at, i64 1 acq_rel
  %last = sub i64 %threads, 1
  %complete = icmp eq i64 %before, %last
  br i1 %complete, label %open, label %spin
open:
  store atomic i64 0, ptr %arrived_at monotonic, align 8
  %opened = add i64 %phase, 1
  store atomic i64 %opened, ptr %phase_at release, align 8
  ret void
spin:
  %i = phi i64 [ 0, %entry ], [ %next, %again ]
  %current = load atomic i64, ptr %phase_at acquire, align 8
  %moved = icmp ne i64 %current, %phase
  br i1 %moved, label %end, label %idle
idle:
  %long = icmp sgt i64 %i, 4000
  br i1 %long, label %give_way, label %pause
give_way:
  %yielded = call i32 @sched_yield()
  br label %again
pause:
  PAUSE
  br label %again
again:
  %next = add i64 %i, 1
  br label %spin
end:
  ret void
}

define internal ptr @worker(ptr %argument) {
entry:
  %state = load ptr, ptr %argument
  %number_at = getelementptr i8, ptr %argument, i64 8
  %number = load i64, ptr %number_at
  %threads_at = getelementptr i8, ptr %state, i64 192
  %job_at = getelementptr i8, ptr %state, i64 200
  %stop_at = getelementptr i8, ptr %state, i64 208
  %sleepers_at = getelementptr i8, ptr %state, i64 216
  %mutex = getelementptr i8, ptr %state, i64 256
  %condition = getelementptr i8, ptr %state, i64 384
  br label %idle
idle:
  %seen = phi i64 [ 0, %entry ], [ %generation, %work ]
  br label %spin
spin:
  %i = phi i64 [ 0, %idle ], [ %next, %pause ]
  %current = load atomic i64, ptr %state seq_cst, align 8
  %fresh = icmp ne i64 %current, %seen
  br i1 %fresh, label %start, label %check
check:
  %tired = icmp sgt i64 %i, 3000
  br i1 %tired, label %sleep, label %pause
pause:
  PAUSE
  %next = add i64 %i, 1
  br label %spin
sleep:
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %more_sleepers = atomicrmw add ptr %sleepers_at, i64 1 seq_cst
  br label %look
look:
  %latest = load atomic i64, ptr %state seq_cst, align 8
  %still = icmp eq i64 %latest, %seen
  br i1 %still, label %wait, label %awake
wait:
  %waited = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %look
awake:
  %fewer_sleepers = atomicrmw sub ptr %sleepers_at, i64 1 seq_cst
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %start
start:
  %generation = load atomic i64, ptr %state seq_cst, align 8
  %stop = load i64, ptr %stop_at
  %stopping = icmp ne i64 %stop, 0
  br i1 %stopping, label %leave, label %work
work:
  %job = load ptr, ptr %job_at
  %threads = load i64, ptr %threads_at
  call void @run_thread(ptr %job, ptr %state, i64 %number, i64 %threads)
  call void @barrier(ptr %state, i64 %threads)
  br label %idle
leave:
  ret ptr null
}

define internal void @wake(ptr %state) {
entry:
  %old = load atomic i64, ptr %state monotonic, align 8
  %new = add i64 %old, 1
  store atomic i64 %new, ptr %state seq_cst, align 8
  %sleepers_at = getelementptr i8, ptr %state, i64 216
  %sleepers = load atomic i64, ptr %sleepers_at seq_cst, align 8
  %some = icmp ne i64 %sleepers, 0
  br i1 %some, label %call, label %end
call:
  %mutex = getelementptr i8, ptr %state, i64 256
  %condition = getelementptr i8, ptr %state, i64 384
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %called = call i32 @pthread_cond_broadcast(ptr %condition)
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %end
end:
  ret void
}

define i64 @run_together(ptr %job, ptr %state) {
  %threads_at = getelementptr i8, ptr %state, i64 192
  %threads = load i64, ptr %threads_at
  %job_at = getelementptr i8, ptr %state, i64 200
  store ptr %job, ptr %job_at
  call void @wake(ptr %state)
  call void @run_thread(ptr %job, ptr %state, i64 0, i64 %threads)
  call void @barrier(ptr %state, i64 %threads)
  %failed = call i64 @failures(ptr %job, i64 %threads)
  ret i64 %failed
}

define i64 @start_workers(ptr %state, i64 %wanted) {
entry:
  %mutex = getelementptr i8, ptr %state, i64 256
  %condition = getelementptr i8, ptr %state, i64 384
  %made_mutex = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %made_condition = call i32 @pthread_cond_init(ptr %condition, ptr null)
  br label %loop
loop:
  %i = phi i64 [ 1, %entry ], [ %next, %made ]
  %more = icmp slt i64 %i, %wanted
  br i1 %more, label %make, label %end
make:
  %argument_offset = mul i64 %i, 16
  %arguments = getelementptr i8, ptr %state, i64 1024
  %argument = getelementptr i8, ptr %arguments, i64 %argument_offset
  store ptr %state, ptr %argument
  %number_at = getelementptr i8, ptr %argument, i64 8
  store i64 %i, ptr %number_at
  %handle_offset = mul i64 %i, 8
  %handles = getelementptr i8, ptr %state, i64 512
  %handle = getelementptr i8, ptr %handles, i64 %handle_offset
  %status = call i32 @pthread_create(ptr %handle, ptr null, ptr @worker, ptr %argument)
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %end, label %made
made:
  %next = add i64 %i, 1
  br label %loop
end:
  %threads_at = getelementptr i8, ptr %state, i64 192
  store i64 %i, ptr %threads_at
  ret i64 %i
}

define void @stop_workers(ptr %state) {
entry:
  %stop_at = getelementptr i8, ptr %state, i64 208
  store i64 1, ptr %stop_at
  call void @wake(ptr %state)
  %threads_at = getelementptr i8, ptr %state, i64 192
  %threads = load i64, ptr %threads_at
  br label %loop
loop:
  %i = phi i64 [ 1, %entry ], [ %next, %join ]
  %more = icmp slt i64 %i, %threads
  br i1 %more, label %join, label %end
join:
  %handle_offset = mul i64 %i, 8
  %handles = getelementptr i8, ptr %state, i64 512
  %handle_at = getelementptr i8, ptr %handles, i64 %handle_offset
  %handle = load i64, ptr %handle_at
  %joined = call i32 @pthread_join(i64 %handle, ptr null)
  %next = add i64 %i, 1
  br label %loop
end:
  ret void
}

define i64 @run_alone(ptr %job) {
  call void @run_thread(ptr %job, ptr null, i64 0, i64 1)
  %failed = call i64 @failures(ptr %job, i64 1)
  ret i64 %failed
}
"""

_PAUSES = {
    "x86_64": "call void @llvm.x86.sse2.pause()",
    "aarch64": "call void @llvm.aarch64.hint(i32 1)",
    "arm64": "call void @llvm.aarch64.hint(i32 1)",
}
_DECLARATIONS = {
    "x86_64": "declare void @llvm.x86.sse2.pause()\n",
    "aarch64": "declare void @llvm.aarch64.hint(i32)\n",
    "arm64": "declare void @llvm.aarch64.hint(i32)\n",
}


def runner_text(architecture: str, threaded: bool) -> str:
    """The module; without POSIX threads it has `run_alone` only."""
    if not threaded:
        return _GENERIC + _ALONE
    pause = _PAUSES.get(architecture, "")
    return _GENERIC + _THREADED.replace("PAUSE", pause) + _DECLARATIONS.get(architecture, "")
