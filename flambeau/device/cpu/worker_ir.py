"""The plan runner as LLVM IR: walks a table of launches on one or several native threads.

Memory that Python fills and this code reads; all fields have eight bytes.

    job      0 launches  8 number of launches  16 buffer addresses  24 scalars  32 thread records
    launch   0 function  8 items  16 flags (1: all threads, 2: barrier before)
             24 buffer numbers  32 how many  40 scalar numbers  48 how many
             56 pieces that a thread's range of items is cut into
    record   0 error code  8 detail  16 launch · 2^40 + the piece's first item: those of the
             earliest piece that failed
             24 scratch  32 room for addresses  40 … for scalars
             48 a piece's error code  56 detail
    state    0 generation  64 pieces finished since the beginning
             128 the job's first serial number  136 pieces finished before it  144 the next job's
             152 …  192 threads  200 job  208 stop  216 sleepers
             256 mutex  384 condition  512 thread handles, one for each worker
             1024 worker arguments, 16 bytes each: state, number
             2048 for each thread, 64 bytes apart: the job that it may be reading
             8192 claims: 64 bytes for each thread, for each of SLOTS launches

All threads walk the same table. A launch for all threads is cut into as many ranges of items, and
each range into pieces; the others are run by the first thread. A piece belongs to the thread that
claims it: first each thread takes those of its own range, in order, so that on an idle machine a
thread gets the same range every time; one that waits at a barrier takes what is left of the
others'. A barrier is passed when all pieces before it are finished, whoever did that: nobody waits
for a thread that has taken nothing, because it sleeps still or another program has its core.

A claim is a launch's serial number (no two launches since the beginning have the same) and how
many pieces of the range are taken. A thread that comes late finds a later serial number, or nothing
left, and goes on. Claims of SLOTS launches are kept; between two barriers there are no more.

The generation is even while a job may be joined. A worker that joins says so before it looks at the
generation again: Python frees a job's memory (see runtime.py) only when no thread says that it
reads it. Of what is in that memory a thread reads the table alone before it has claimed a piece;
with a piece claimed, the job cannot end. Workers wait for a job: first spinning, then asleep.
"""

from __future__ import annotations

LAUNCH_BYTES = 64
RECORD_BYTES = 64
MOST_THREADS = 64
SLOTS = 64
READING = 2048
PATIENCE = 64
"""How often a thread looks whether the others are done before it takes over what they have not
begun: about a microsecond, in which threads that run come to an end of what they share."""
PARALLEL = 1
BARRIER = 2


def state_bytes(threads: int) -> int:
    """The size of the workers' state."""
    return 8192 + 64 * SLOTS * threads


_GENERIC = """
define internal void @run_piece(ptr %job, ptr %row, i64 %l, i64 %low, i64 %high, i64 %number) {
entry:
  %some = icmp slt i64 %low, %high
  br i1 %some, label %run, label %end
run:
  %buffers_at = getelementptr i8, ptr %job, i64 16
  %buffers = load ptr, ptr %buffers_at
  %scalars_at = getelementptr i8, ptr %job, i64 24
  %scalars = load ptr, ptr %scalars_at
  %records_at = getelementptr i8, ptr %job, i64 32
  %records = load ptr, ptr %records_at
  %record_offset = mul i64 %number, 64
  %record = getelementptr i8, ptr %records, i64 %record_offset
  %scratch_at = getelementptr i8, ptr %record, i64 24
  %scratch = load ptr, ptr %scratch_at
  %own_buffers_at = getelementptr i8, ptr %record, i64 32
  %own_buffers = load ptr, ptr %own_buffers_at
  %own_scalars_at = getelementptr i8, ptr %record, i64 40
  %own_scalars = load ptr, ptr %own_scalars_at
  %slots_at = getelementptr i8, ptr %row, i64 24
  %slots = load ptr, ptr %slots_at
  %nslots_at = getelementptr i8, ptr %row, i64 32
  %nslots = load i64, ptr %nslots_at
  call void @pick(ptr %own_buffers, ptr %buffers, ptr %slots, i64 %nslots)
  %picks_at = getelementptr i8, ptr %row, i64 40
  %picks = load ptr, ptr %picks_at
  %npicks_at = getelementptr i8, ptr %row, i64 48
  %npicks = load i64, ptr %npicks_at
  call void @pick(ptr %own_scalars, ptr %scalars, ptr %picks, i64 %npicks)
  %function = load ptr, ptr %row
  %error = getelementptr i8, ptr %record, i64 48
  call void %function(
    ptr %own_buffers, ptr %own_scalars, i64 %low, i64 %high, ptr %error, ptr %scratch)
  %code = load i64, ptr %error
  %failed = icmp ne i64 %code, 0
  br i1 %failed, label %failure, label %end
failure:
  store i64 0, ptr %error
  %old = load i64, ptr %record
  %fresh = icmp eq i64 %old, 0
  %which_at = getelementptr i8, ptr %record, i64 16
  %which = load i64, ptr %which_at
  %launch = shl i64 %l, 40
  %rank = or i64 %launch, %low
  %earlier = icmp slt i64 %rank, %which
  %keep = or i1 %fresh, %earlier
  br i1 %keep, label %note, label %end
note:
  store i64 %code, ptr %record
  %error_detail = getelementptr i8, ptr %record, i64 56
  %detail = load i64, ptr %error_detail
  %detail_at = getelementptr i8, ptr %record, i64 8
  store i64 %detail, ptr %detail_at
  store i64 %rank, ptr %which_at
  br label %end
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

define internal void @forget_failures(ptr %job, i64 %threads) {
entry:
  %records_at = getelementptr i8, ptr %job, i64 32
  %records = load ptr, ptr %records_at
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %offset = mul i64 %i, 64
  %record = getelementptr i8, ptr %records, i64 %offset
  store i64 0, ptr %record
  %error = getelementptr i8, ptr %record, i64 48
  store i64 0, ptr %error
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %threads
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

define i64 @run_alone(ptr %job) {
entry:
  call void @forget_failures(ptr %job, i64 1)
  %table = load ptr, ptr %job
  %count_at = getelementptr i8, ptr %job, i64 8
  %count = load i64, ptr %count_at
  br label %launch
launch:
  %l = phi i64 [ 0, %entry ], [ %next, %launch ]
  %offset = mul i64 %l, 64
  %row = getelementptr i8, ptr %table, i64 %offset
  %items_at = getelementptr i8, ptr %row, i64 8
  %items = load i64, ptr %items_at
  call void @run_piece(ptr %job, ptr %row, i64 %l, i64 0, i64 %items, i64 0)
  %next = add i64 %l, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %launch, label %end
end:
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
declare i64 @llvm.smin.i64(i64, i64)

define internal i64 @pieces(ptr %row, i64 %threads) alwaysinline {
  %items_at = getelementptr i8, ptr %row, i64 8
  %items = load i64, ptr %items_at
  %flags_at = getelementptr i8, ptr %row, i64 16
  %flags = load i64, ptr %flags_at
  %all_bit = and i64 %flags, 1
  %all = icmp ne i64 %all_bit, 0
  %parts_at = getelementptr i8, ptr %row, i64 56
  %parts = load i64, ptr %parts_at
  %wanted = mul i64 %parts, %threads
  %most = call i64 @llvm.smin.i64(i64 %items, i64 %wanted)
  %pieces = select i1 %all, i64 %most, i64 1
  ret i64 %pieces
}

define internal i64 @claim(ptr %at, i64 %serial, i64 %own) {
entry:
  %first = load atomic i64, ptr %at acquire, align 8
  br label %again
again:
  %word = phi i64 [ %first, %entry ], [ %seen, %free ]
  %tag = lshr i64 %word, 8
  %over = icmp ugt i64 %tag, %serial
  br i1 %over, label %none, label %count
count:
  %same = icmp eq i64 %tag, %serial
  %low = and i64 %word, 255
  %taken = select i1 %same, i64 %low, i64 0
  %left = icmp slt i64 %taken, %own
  br i1 %left, label %free, label %none
free:
  %mark = shl i64 %serial, 8
  %more = add i64 %taken, 1
  %new = or i64 %mark, %more
  %pair = cmpxchg ptr %at, i64 %word, i64 %new acq_rel acquire, align 8
  %seen = extractvalue { i64, i1 } %pair, 0
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %done, label %again
done:
  ret i64 %taken
none:
  ret i64 -1
}

define internal i64 @take(ptr %job, ptr %state, i64 %l, i64 %serial, i64 %owner, i64 %number) {
entry:
  %threads_at = getelementptr i8, ptr %state, i64 192
  %threads = load i64, ptr %threads_at
  %table = load ptr, ptr %job
  %offset = mul i64 %l, 64
  %row = getelementptr i8, ptr %table, i64 %offset
  %items_at = getelementptr i8, ptr %row, i64 8
  %items = load i64, ptr %items_at
  %pieces = call i64 @pieces(ptr %row, i64 %threads)
  %first_part = mul i64 %pieces, %owner
  %first = udiv i64 %first_part, %threads
  %after = add i64 %owner, 1
  %last_part = mul i64 %pieces, %after
  %last = udiv i64 %last_part, %threads
  %own = sub i64 %last, %first
  %slot = and i64 %serial, 63
  %line = mul i64 %slot, %threads
  %place = add i64 %line, %owner
  %place_offset = mul i64 %place, 64
  %claims = getelementptr i8, ptr %state, i64 8192
  %at = getelementptr i8, ptr %claims, i64 %place_offset
  br label %next
next:
  %done = phi i64 [ 0, %entry ], [ %more, %run ]
  %k = call i64 @claim(ptr %at, i64 %serial, i64 %own)
  %none = icmp slt i64 %k, 0
  br i1 %none, label %end, label %run
run:
  %piece = add i64 %first, %k
  %low_part = mul i64 %items, %piece
  %low = udiv i64 %low_part, %pieces
  %piece_after = add i64 %piece, 1
  %high_part = mul i64 %items, %piece_after
  %high = udiv i64 %high_part, %pieces
  call void @run_piece(ptr %job, ptr %row, i64 %l, i64 %low, i64 %high, i64 %number)
  %more = add i64 %done, 1
  br label %next
end:
  ret i64 %done
}

define internal void @report(ptr %state, i64 %done) alwaysinline {
entry:
  %some = icmp ne i64 %done, 0
  br i1 %some, label %add, label %end
add:
  %finished_at = getelementptr i8, ptr %state, i64 64
  %before = atomicrmw add ptr %finished_at, i64 %done acq_rel
  br label %end
end:
  ret void
}

define internal void @meet(ptr %job, ptr %state, i64 %number, i64 %serial, i64 %from, i64 %to,
                           i64 %done, i64 %wanted, i1 %stay) {
entry:
  %finished_at = getelementptr i8, ptr %state, i64 64
  %threads_at = getelementptr i8, ptr %state, i64 192
  %threads = load i64, ptr %threads_at
  %table = load ptr, ptr %job
  call void @report(ptr %state, i64 %done)
  br label %glance
glance:
  %g = phi i64 [ 0, %entry ], [ %gnext, %glance_on ]
  %now = load atomic i64, ptr %finished_at acquire, align 8
  %there = icmp sge i64 %now, %wanted
  br i1 %there, label %end, label %glance_more
glance_more:
  %patient = icmp slt i64 %g, PATIENCE
  br i1 %patient, label %glance_on, label %help
glance_on:
  PAUSE
  %gnext = add i64 %g, 1
  br label %glance
help:
  %any = icmp slt i64 %from, %to
  br i1 %any, label %launch, label %helped
launch:
  %l = phi i64 [ %from, %help ], [ %lnext, %launch_done ]
  %sum = phi i64 [ 0, %help ], [ %sum_after, %launch_done ]
  %offset = mul i64 %l, 64
  %row = getelementptr i8, ptr %table, i64 %offset
  %flags_at = getelementptr i8, ptr %row, i64 16
  %flags = load i64, ptr %flags_at
  %all_bit = and i64 %flags, 1
  %all = icmp ne i64 %all_bit, 0
  %own_serial = add i64 %serial, %l
  br i1 %all, label %owner, label %launch_done
owner:
  %t = phi i64 [ 0, %launch ], [ %tnext, %owner_done ]
  %part = phi i64 [ %sum, %launch ], [ %part_after, %owner_done ]
  %mine = icmp eq i64 %t, %number
  br i1 %mine, label %owner_done, label %steal
steal:
  %stolen = call i64 @take(ptr %job, ptr %state, i64 %l, i64 %own_serial, i64 %t, i64 %number)
  br label %owner_done
owner_done:
  %got = phi i64 [ 0, %owner ], [ %stolen, %steal ]
  %part_after = add i64 %part, %got
  %tnext = add i64 %t, 1
  %more_owners = icmp slt i64 %tnext, %threads
  br i1 %more_owners, label %owner, label %launch_done
launch_done:
  %sum_after = phi i64 [ %sum, %launch ], [ %part_after, %owner_done ]
  %lnext = add i64 %l, 1
  %more_launches = icmp slt i64 %lnext, %to
  br i1 %more_launches, label %launch, label %helped
helped:
  %total = phi i64 [ 0, %help ], [ %sum_after, %launch_done ]
  call void @report(ptr %state, i64 %total)
  br i1 %stay, label %spin, label %end
spin:
  %i = phi i64 [ 0, %helped ], [ %next, %again ]
  %current = load atomic i64, ptr %finished_at acquire, align 8
  %moved = icmp sge i64 %current, %wanted
  br i1 %moved, label %end, label %idle
idle:
  %long = icmp sgt i64 %i, 4000
  br i1 %long, label %give_way, label %pause
give_way:
  GIVE_WAY
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

define internal i64 @run_team(ptr %job, ptr %state, i64 %number, i64 %serial, i64 %before) {
entry:
  %threads_at = getelementptr i8, ptr %state, i64 192
  %threads = load i64, ptr %threads_at
  %table = load ptr, ptr %job
  %count_at = getelementptr i8, ptr %job, i64 8
  %count = load i64, ptr %count_at
  %first = icmp eq i64 %number, 0
  br label %launch
launch:
  %l = phi i64 [ 0, %entry ], [ %lnext, %ran ]
  %wanted = phi i64 [ %before, %entry ], [ %wanted_next, %ran ]
  %since = phi i64 [ 0, %entry ], [ %since_next, %ran ]
  %done = phi i64 [ 0, %entry ], [ %done_next, %ran ]
  %offset = mul i64 %l, 64
  %row = getelementptr i8, ptr %table, i64 %offset
  %flags_at = getelementptr i8, ptr %row, i64 16
  %flags = load i64, ptr %flags_at
  %wait_bit = and i64 %flags, 2
  %waits = icmp ne i64 %wait_bit, 0
  br i1 %waits, label %barrier, label %go
barrier:
  call void @meet(ptr %job, ptr %state, i64 %number, i64 %serial, i64 %since, i64 %l,
                  i64 %done, i64 %wanted, i1 true)
  br label %go
go:
  %since_next = phi i64 [ %since, %launch ], [ %l, %barrier ]
  %done_now = phi i64 [ %done, %launch ], [ 0, %barrier ]
  %all_bit = and i64 %flags, 1
  %all = icmp ne i64 %all_bit, 0
  br i1 %all, label %together, label %single
together:
  %own_serial = add i64 %serial, %l
  %got = call i64 @take(ptr %job, ptr %state, i64 %l, i64 %own_serial, i64 %number, i64 %number)
  br label %ran
single:
  br i1 %first, label %alone, label %ran
alone:
  %items_at = getelementptr i8, ptr %row, i64 8
  %items = load i64, ptr %items_at
  call void @run_piece(ptr %job, ptr %row, i64 %l, i64 0, i64 %items, i64 0)
  br label %ran
ran:
  %more_done = phi i64 [ %got, %together ], [ 1, %alone ], [ 0, %single ]
  %done_next = add i64 %done_now, %more_done
  %pieces = call i64 @pieces(ptr %row, i64 %threads)
  %wanted_next = add i64 %wanted, %pieces
  %lnext = add i64 %l, 1
  %more = icmp slt i64 %lnext, %count
  br i1 %more, label %launch, label %end
end:
  call void @meet(ptr %job, ptr %state, i64 %number, i64 %serial, i64 %since_next, i64 %count,
                  i64 %done_next, i64 %wanted_next, i1 %first)
  ret i64 %wanted_next
}

define internal i1 @open(i64 %generation, i64 %seen) alwaysinline {
  %bit = and i64 %generation, 1
  %even = icmp eq i64 %bit, 0
  %other = icmp ne i64 %generation, %seen
  %fresh = and i1 %even, %other
  ret i1 %fresh
}

define internal ptr @worker(ptr %argument) {
entry:
  %state = load ptr, ptr %argument
  %number_at = getelementptr i8, ptr %argument, i64 8
  %number = load i64, ptr %number_at
  %job_at = getelementptr i8, ptr %state, i64 200
  %stop_at = getelementptr i8, ptr %state, i64 208
  %sleepers_at = getelementptr i8, ptr %state, i64 216
  %mutex = getelementptr i8, ptr %state, i64 256
  %condition = getelementptr i8, ptr %state, i64 384
  %serial_at = getelementptr i8, ptr %state, i64 128
  %before_at = getelementptr i8, ptr %state, i64 136
  %reading_all = getelementptr i8, ptr %state, i64 2048
  %reading_offset = mul i64 %number, 64
  %reading = getelementptr i8, ptr %reading_all, i64 %reading_offset
  br label %idle
idle:
  %seen = phi i64 [ 0, %entry ], [ %generation, %work ], [ %seen, %closed ]
  br label %spin
spin:
  %i = phi i64 [ 0, %idle ], [ %next, %pause ]
  %current = load atomic i64, ptr %state seq_cst, align 8
  %fresh = call i1 @open(i64 %current, i64 %seen)
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
  %work_is_there = call i1 @open(i64 %latest, i64 %seen)
  br i1 %work_is_there, label %awake, label %wait
wait:
  %waited = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %look
awake:
  %fewer_sleepers = atomicrmw sub ptr %sleepers_at, i64 1 seq_cst
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %start
start:
  %generation = phi i64 [ %current, %spin ], [ %latest, %awake ]
  %stop = load atomic i64, ptr %stop_at seq_cst, align 8
  %stopping = icmp ne i64 %stop, 0
  br i1 %stopping, label %leave, label %join
join:
  %job_number = load atomic i64, ptr %job_at monotonic, align 8
  %serial = load atomic i64, ptr %serial_at monotonic, align 8
  %before = load atomic i64, ptr %before_at monotonic, align 8
  %old = atomicrmw xchg ptr %reading, i64 %job_number seq_cst
  %still = load atomic i64, ptr %state seq_cst, align 8
  %valid = icmp eq i64 %still, %generation
  br i1 %valid, label %work, label %closed
work:
  %job = inttoptr i64 %job_number to ptr
  %end = call i64 @run_team(ptr %job, ptr %state, i64 %number, i64 %serial, i64 %before)
  store atomic i64 0, ptr %reading release, align 8
  br label %idle
closed:
  store atomic i64 0, ptr %reading release, align 8
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
  call void @forget_failures(ptr %job, i64 %threads)
  %next_serial_at = getelementptr i8, ptr %state, i64 144
  %serial = load i64, ptr %next_serial_at
  %next_before_at = getelementptr i8, ptr %state, i64 152
  %before = load i64, ptr %next_before_at
  %serial_at = getelementptr i8, ptr %state, i64 128
  fence release ; the generation was made odd before
  store atomic i64 %serial, ptr %serial_at monotonic, align 8
  %before_at = getelementptr i8, ptr %state, i64 136
  store atomic i64 %before, ptr %before_at monotonic, align 8
  %job_at = getelementptr i8, ptr %state, i64 200
  %job_number = ptrtoint ptr %job to i64
  store atomic i64 %job_number, ptr %job_at monotonic, align 8
  call void @wake(ptr %state)
  %end = call i64 @run_team(ptr %job, ptr %state, i64 0, i64 %serial, i64 %before)
  %open = load atomic i64, ptr %state monotonic, align 8
  %closed = add i64 %open, 1
  store atomic i64 %closed, ptr %state seq_cst, align 8
  store i64 %end, ptr %next_before_at
  %count_at = getelementptr i8, ptr %job, i64 8
  %count = load i64, ptr %count_at
  %next_serial = add i64 %serial, %count
  store i64 %next_serial, ptr %next_serial_at
  %failed = call i64 @failures(ptr %job, i64 %threads)
  ret i64 %failed
}

define i64 @start_workers(ptr %state, i64 %wanted) {
entry:
  store atomic i64 1, ptr %state seq_cst, align 8
  %serial_at = getelementptr i8, ptr %state, i64 144
  store i64 1, ptr %serial_at
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
  store atomic i64 1, ptr %stop_at seq_cst, align 8
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
        return _GENERIC
    text = _THREADED
    for name, line in (
        ("GIVE_WAY", "%given = call i32 @sched_yield()"),
        ("PAUSE", _PAUSES.get(architecture, "")),
        ("PATIENCE", str(PATIENCE)),
    ):
        text = text.replace(name, line)
    return _GENERIC + text + _DECLARATIONS.get(architecture, "")
