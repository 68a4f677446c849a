/*
 * The protocol of jobs/store as a model for spin: publish, activate, rollback, retire and restore by two publishers.
 *
 * Kept: every write to Redis and to the journal is a step of its own, in the order of the code; a script of the catalog
 * is one step. Between any two steps a publisher may die, its lease may run out (it is frozen), Redis may be wiped,
 * the other publisher or an edge replica may act. A call may arrive twice, and that of a dead publisher late or never.
 * Left out: canaries, several shards, quarantine by verdict, more than two keys a release, --force.
 * Time: the grace of a retire is longer than an edge replica follows a pointer that it does not read again.
 *
 * -DCRASHES=n -DWIPES=n -DFROZEN=n -DREPEATS=n bound what goes wrong, -DCOMMANDS=n how much each publisher does.
 * -DBACKS=n bounds how often the journal comes back from a backup that lacks its last entry: commands that ran are dead by
 * then, and Redis is not wiped before the next command has looked. An entry is known by its id, not by its number.
 * -DNO_... takes one guard of the code away; spin must then find a violation (tests/faults/test_protocol.py).
 */

#ifndef BACKS
#define BACKS 0
#endif
#define RELEASES 3
#define WHOLE 3                       /* both keys of a release */
#define INTENTS 10
#define TOKENS 16

/* states of a release in the catalog */
#define NONE 0
#define LOADING 1
#define VERIFIED 2
#define RETIRING 3

/* kinds of intents */
#define ACTIVATE 1
#define ROLLBACK 2
#define RESTORE 3

/* results in the journal, and what the catalog was told of an intent */
#define OPEN 0
#define OK 1
#define REFUSED 2
#define ASSUMED 3
#define UNTOLD 0
#define DONE 1
#define CLOSED 2
#define BEHIND 4

/* ---- Redis: one script call is one step ----------------------------------------------------------------------- */
byte generation, live, previous;
byte state[RELEASES + 1], holder[RELEASES + 1];
bool lease[RELEASES + 1], idle[RELEASES + 1], quarantined[RELEASES + 1];
byte told[INTENTS + 1];
byte keys[RELEASES + 1];

/* ---- the journal: durable ------------------------------------------------------------------------------------- */
byte intents;
byte kind[INTENTS + 1], expects[INTENTS + 1], makes[INTENTS + 1], target[INTENTS + 1], before[INTENTS + 1];
byte bars[INTENTS + 1], result[INTENTS + 1];

#if BACKS > 0
/* ---- a journal that goes back in time: ids of entries, what the catalog and the copy in Redis know, what was done -- */
#define IDS 16
byte made, id[INTENTS + 1], told_id[INTENTS + 1];
byte copied, copied_result[INTENTS + 1];
bool done[IDS + 1];
#define set_told(n, what) told[n] = what; told_id[n] = id[n]
#else
#define set_told(n, what) told[n] = what
#endif

/* ---- an edge replica: the release whose keys it may read, and the generation it saw ---------------------------- */
byte reads, seen;

/* ---- what must hold, and is kept where nothing is lost --------------------------------------------------------- */
byte greatest;                        /* generation ever made */
bool barred[RELEASES + 1];            /* lists ever rolled back from */
bool fresh[TOKENS + 1];               /* leases that have not run out, by the clock of every node */

/* ---- what goes wrong ------------------------------------------------------------------------------------------ */
byte crashes = CRASHES, wipes = WIPES, frozen = FROZEN, repeats = REPEATS;
#if BACKS > 0
byte backs = BACKS;
#endif
bool killed[2];
byte tokens, ended;
bool last_turn;

/* a call that its dead publisher had sent */
byte sent[2];                         /* intent about to be carried out */
byte sent_key[2], sent_token[2];      /* release whose key is about to be removed */
byte late, late_key, late_token;

#define referenced(r) (live == r || previous == r)

/* asked when lists are loaded, when a release is chosen, and by the script that makes it live */
#ifndef NO_QUARANTINE
#define refused_for_good(r) quarantined[r]
#else
#define refused_for_good(r) false
#endif

inline point(seq, to, prev) {
    assert(state[to] == VERIFIED && keys[to] == WHOLE);  /* the live release is always complete */
    assert(makes[seq] > greatest);                       /* the generation only grows */
    assert(!barred[to]);                                 /* what was rolled back from never comes back */
    previous = prev; live = to; generation = makes[seq]; greatest = makes[seq]; set_told(seq, DONE);
#if BACKS > 0
    done[id[seq]] = true;
#endif
    idle[1] = idle[1] && !referenced(1); idle[2] = idle[2] && !referenced(2); idle[3] = idle[3] && !referenced(3);
}

inline fits(to, answer) {
    answer = OK;
    if
    :: state[to] != VERIFIED -> answer = REFUSED
    :: state[to] == VERIFIED && refused_for_good(to) -> answer = REFUSED
    :: else
    fi
}

/* activate, rollback and restore of registry.lua */
inline carry_out(seq, answer) {
    if
#if BACKS > 0 && !defined(NO_DIGEST)
    :: told[seq] != UNTOLD && told_id[seq] != id[seq] -> answer = REFUSED
    :: told[seq] == DONE && told_id[seq] == id[seq] -> answer = OK
#else
    :: told[seq] == DONE -> answer = OK
#endif
    :: told[seq] == CLOSED -> answer = REFUSED
#ifndef NO_GENERATION
    :: told[seq] == UNTOLD && (generation != expects[seq] || makes[seq] <= generation) -> answer = REFUSED
#endif
    :: else ->
        fits(target[seq], answer);
        if
        :: answer == OK && kind[seq] == ACTIVATE && (live == target[seq] || live > target[seq]) -> answer = REFUSED
        :: answer == OK && kind[seq] == ROLLBACK && live == 0 -> answer = REFUSED
        :: answer == OK && kind[seq] == RESTORE && before[seq] != 0 && state[before[seq]] != VERIFIED -> answer = REFUSED
        :: else
        fi;
        if
        :: answer == OK && kind[seq] == ACTIVATE -> point(seq, target[seq], live)
        :: answer == OK && kind[seq] == ROLLBACK -> quarantined[live] = true; barred[live] = true; point(seq, target[seq], 0)
        :: answer == OK && kind[seq] == RESTORE -> point(seq, target[seq], before[seq])
        :: else
        fi
    fi
}

/* one key of a release is removed, if the lease has not run out by the clock of its node */
inline remove_key(r, token) {
    if
#ifndef NO_DEADLINE
    :: !fresh[token] -> skip
#endif
    :: else ->
        assert(!referenced(r) && reads != r);            /* nothing goes that a reader may still use */
        keys[r] = keys[r] & (keys[r] - 1)
    fi
}

inline lend(r) {
    tokens++; token = tokens; fresh[token] = true; lease[r] = true; holder[r] = token
}

/* ---- the journal's sum (jobs/release/history.py) --------------------------------------------------------------- */
byte past_live, past_previous, past_generation, past_settled; bool past_open; bool past_barred[RELEASES + 1], past_kept[RELEASES + 1];
inline fold() {
    past_live = 0; past_previous = 0; past_generation = 0; past_settled = 0; past_open = false;
    past_barred[1] = false; past_barred[2] = false; past_barred[3] = false;
    past_kept[1] = false; past_kept[2] = false; past_kept[3] = false;
    for (fold_n : 1 .. intents) {
        past_generation = (makes[fold_n] > past_generation -> makes[fold_n] : past_generation);
        past_open = past_open || result[fold_n] == OPEN;
        if
        /* a move to barred lists counts only when it is known to have been made */
#ifdef NO_DOUBT
        :: result[fold_n] != REFUSED ->
#else
        :: result[fold_n] == OK || (result[fold_n] != REFUSED && !past_barred[target[fold_n]]) ->
#endif
            past_previous = (kind[fold_n] == ACTIVATE -> past_live : before[fold_n]);
            past_live = target[fold_n];
            if :: bars[fold_n] != 0 -> past_barred[bars[fold_n]] = true :: else fi;
            if :: bars[fold_n] != 0 && result[fold_n] != OPEN -> past_kept[bars[fold_n]] = true :: else fi;
            if
            :: result[fold_n] != OPEN ->
                past_settled = (makes[fold_n] > past_settled -> makes[fold_n] : past_settled)
            :: else
            fi
        :: else
        fi
    }
    fold_n = 0
}
byte fold_n;

inline append(what, to, prev, bar) {
    intents++;
    kind[intents] = what; target[intents] = to; before[intents] = prev; bars[intents] = bar;
    expects[intents] = expected;
    makes[intents] = (expected > was_greatest -> expected : was_greatest) + 1;
    result[intents] = OPEN;
#if BACKS > 0
    made++; id[intents] = made;
#else
    told[intents] = UNTOLD;
#endif
    seq = intents; sent[me] = seq
}

/* what the journal bars is barred in Redis too, but for lists that are served, and not what an open intent bars: it may
   yet be refused, and then the lists that it would have left are live */
inline bar_again() {
    quarantined[1] = quarantined[1] || (past_kept[1] && live != 1);
    quarantined[2] = quarantined[2] || (past_kept[2] && live != 2);
    quarantined[3] = quarantined[3] || (past_kept[3] && live != 3)
}

/* what is only in a publisher's head must not tell states apart */
inline forget_past() {
    past_live = 0; past_previous = 0; past_generation = 0; past_settled = 0; past_open = false;
    past_barred[1] = false; past_barred[2] = false; past_barred[3] = false;
    past_kept[1] = false; past_kept[2] = false; past_kept[3] = false
}

inline outcome(n, what) { if :: result[n] == OPEN -> result[n] = what :: else fi }

/* ---- pieces of commands --------------------------------------------------------------------------------------- */

/* jobs/store/changes.settled: open intents are closed for good, or found to have been carried out */
inline to_next_open() { do :: n <= intents && result[n] != OPEN -> n++ :: else -> break od }

/* jobs/store/histories.py and jobs/operations/reconcile.py: Redis's copy knows more than the journal, which takes it */
inline compare() {
    d_step {
        if
        :: copied > intents ->
            n = intents + 1;
            do :: n <= copied -> result[n] = copied_result[n]; n++ :: else -> break od;
            intents = copied; n = 0
        :: else
        fi
    }
}

inline copy() {
    d_step {
        n = 1;
        do :: n <= intents -> copied_result[n] = result[n]; n++ :: else -> break od;
        copied = (intents > copied -> intents : copied); n = 0
    }
}

inline settle() {
#if BACKS > 0 && !defined(NO_COMPARE)
    compare();
#endif
    d_step { n = 1; to_next_open(); answer = 0 };
    do
    :: n <= intents ->
        d_step {
            if
            :: told[n] == CLOSED -> answer = REFUSED
            :: told[n] == DONE -> answer = OK
            :: told[n] == UNTOLD && (generation < expects[n] || state[target[n]] == NONE) -> answer = BEHIND
            :: else -> answer = REFUSED;
#ifndef NO_CLOSE
                set_told(n, CLOSED)
#endif
            fi
        };
        d_step { if :: answer != BEHIND -> outcome(n, answer) :: else fi; n++; to_next_open(); answer = 0 }
    :: else -> break
    od;
    atomic {
        n = 0;
        fold();
#ifndef NO_BAR
        bar_again();
#endif
        expected = generation;
        lost = past_open || generation < past_settled || (live == 0 && past_live != 0);
        was_live = past_live; was_greatest = past_generation; was_intents = intents;
        forget_past()
    }
#if BACKS > 0
    ; copy()
#endif
}

/* jobs/store/removal.remove */
inline removal(r) {
    d_step {
        if
        :: referenced(r) || lease[r] || state[r] == NONE -> token = 0
#ifndef NO_GRACE
        :: !(referenced(r) || lease[r] || state[r] == NONE) && state[r] == VERIFIED && !idle[r] -> token = 0
#endif
        :: else -> lend(r); state[r] = RETIRING; sent_key[me] = r; sent_token[me] = token
        fi
    };
    if
    :: token != 0 ->
        d_step { remove_key(r, token) };
        d_step { remove_key(r, token); sent_key[me] = 0; sent_token[me] = 0 };
        d_step {
            if
            :: state[r] == RETIRING && holder[r] == token && fresh[token] -> state[r] = NONE; lease[r] = false
            :: else
            fi;
            token = 0
        }
    :: else
    fi
}

/* jobs/store/placing.place */
inline place(r) {
    d_step {
        dead = 0;
        other = (r == 1 -> 2 : (r == 2 -> 3 : 2));
        if
        :: refused_for_good(r) || state[r] == VERIFIED || lease[r] || (state[other] == LOADING && lease[other]) -> token = 0
        :: else ->
            if
            :: state[other] == LOADING -> state[other] = RETIRING; dead = other
            :: state[other] == RETIRING && !lease[other] -> dead = other
            :: else
            fi;
            lend(r); state[r] = LOADING; sent_key[me] = r; sent_token[me] = token
        fi
    };
    if
    :: token != 0 ->
        /* what an earlier load left goes first */
        d_step { remove_key(r, token) };
        d_step { remove_key(r, token); sent_key[me] = 0; sent_token[me] = 0 };
        d_step { keys[r] = keys[r] | 1 };
        d_step { keys[r] = keys[r] | 2 };
        /* read back; what a failover lost is written again */
        d_step { if :: keys[r] != WHOLE -> keys[r] = WHOLE :: else fi };
        d_step {
            if
#ifndef NO_TOKEN
            :: state[r] == LOADING && holder[r] == token -> state[r] = VERIFIED; lease[r] = false; idle[r] = false
#else
            :: state[r] != NONE -> state[r] = VERIFIED; lease[r] = false; idle[r] = false
#endif
            :: else
            fi;
            token = 0
        }
    :: else
    fi;
    if :: dead != 0 -> removal(dead); dead = 0 :: else fi
}

/* jobs/store/changes.change: intent, script, outcome; the call may arrive twice */
inline change(what, to, prev, bar) {
    d_step { append(what, to, prev, bar) };
    d_step { carry_out(seq, answer); sent[me] = 0 };
    if
    :: repeats > 0 -> d_step { repeats--; carry_out(seq, answer) }
    :: true
    fi;
#if BACKS > 0
    assert(answer != OK || done[id[seq]]);               /* no command says that it did what it did not do */
#endif
    d_step { outcome(seq, answer); seq = 0; answer = 0 }
#if BACKS > 0
    ; copy()
#endif
}

inline restoring() {
    if
    :: lost && was_live != 0 ->
        place(was_live);
        /* what was open when it began; a later intent may yet be carried out */
        atomic { n = 1; to_next_open() };
        do
        :: n <= was_intents -> d_step { outcome(n, ASSUMED); n++; to_next_open(); answer = 0 }
        :: else -> break
        od;
        atomic { n = 0 };
        change(RESTORE, was_live, 0, 0);
        atomic { fold(); bar_again(); forget_past() }
    :: else
    fi
}

#define FORGET_ALL token = 0; other = 0; dead = 0; n = 0; answer = 0; seq = 0; expected = 0; lost = false; was_live = 0; was_greatest = 0; was_intents = 0; r = 0

proctype publisher(byte me) {
    byte token, other, dead, n, answer, seq, expected, r, commands, was_live, was_greatest, was_intents; bool lost;
again:
    {
        do
        :: commands < COMMANDS ->
            commands++;
            settle();
            if
            :: atomic { !lost && state[2] != VERIFIED -> r = 2 }; place(r)
            :: atomic { !lost && state[3] != VERIFIED -> r = 3 }; place(r)
            :: atomic { !lost && state[2] == VERIFIED && !refused_for_good(2) && live < 2 -> r = 2 }; change(ACTIVATE, r, 0, 0)
            :: atomic { !lost && state[3] == VERIFIED && !refused_for_good(3) && live < 3 -> r = 3 }; change(ACTIVATE, r, 0, 0)
            :: atomic { !lost && live != 0 && previous != 0 -> r = previous; other = live }; change(ROLLBACK, r, 0, other)
            :: atomic { !lost -> r = 1 }; removal(r)
            :: atomic { !lost -> r = 2 }; removal(r)
            :: lost -> restoring()
            fi;
            atomic { FORGET_ALL }
        :: else -> break
        od
    } unless {
        killed[me]
    };
    skip;
    d_step {
        /* what it had sent may still arrive */
        if :: killed[me] && late == 0 && sent[me] != 0 -> late = sent[me] :: else fi;
        if :: killed[me] && late_key == 0 && sent_key[me] != 0 -> late_key = sent_key[me]; late_token = sent_token[me] :: else fi;
        sent[me] = 0; sent_key[me] = 0; sent_token[me] = 0;
        FORGET_ALL
    };
    if
    :: killed[me] -> killed[me] = false; goto again
    :: else -> ended++
    fi
}

proctype edge_replica() {
    do
    :: d_step { live != 0 && generation >= seen && (reads != live || seen != generation) ->
            assert(state[live] == VERIFIED && keys[live] == WHOLE);
            reads = live; seen = generation }
    :: d_step { live == 0 && reads != 0 -> reads = 0 }
    :: last_turn -> break
    od
}

proctype misfortune() {
    byte r, none;
    do
    :: d_step { crashes > 0 && !killed[0] && ended == 0 -> crashes--; killed[0] = true }
    :: d_step { crashes > 0 && !killed[1] && ended == 0 -> crashes--; killed[1] = true }
#if BACKS > 0
    :: d_step { backs > 0 && intents > 1 && copied >= intents && ended == 0 -> backs--;
            intents--; killed[0] = true; killed[1] = true; sent[0] = 0; sent[1] = 0; late = 0 }
    :: d_step { wipes > 0 && copied <= intents -> wipes--; copied = 0;
#else
    :: d_step { wipes > 0 -> wipes--;
#endif
            generation = 0; live = 0; previous = 0; reads = 0;
            r = 1;
            do
            :: r <= RELEASES -> state[r] = NONE; holder[r] = 0; lease[r] = false; idle[r] = false;
                quarantined[r] = false; keys[r] = 0; r++
            :: else -> break
            od;
            r = 1;
            do :: r <= INTENTS -> told[r] = UNTOLD; r++ :: else -> break od;
#ifndef NO_RUN
            /* a node that was started anew carries out no removal from before */
            r = 1;
            do :: r <= TOKENS -> fresh[r] = false; r++ :: else -> break od;
#endif
            r = 0 }
    /* a publisher is frozen for longer than its lease */
    :: d_step { frozen > 0 && lease[1] -> frozen--; fresh[holder[1]] = false; lease[1] = false }
    :: d_step { frozen > 0 && lease[2] -> frozen--; fresh[holder[2]] = false; lease[2] = false }
    :: d_step { frozen > 0 && lease[3] -> frozen--; fresh[holder[3]] = false; lease[3] = false }
    /* the grace is over: an edge replica has read the pointer again or follows it no more */
    :: d_step { state[1] == VERIFIED && !idle[1] && !referenced(1) -> idle[1] = true; reads = (reads == 1 -> 0 : reads) }
    :: d_step { state[2] == VERIFIED && !idle[2] && !referenced(2) -> idle[2] = true; reads = (reads == 2 -> 0 : reads) }
    :: d_step { state[3] == VERIFIED && !idle[3] && !referenced(3) -> idle[3] = true; reads = (reads == 3 -> 0 : reads) }
    /* what a dead publisher had sent arrives, or never */
    :: d_step { late != 0 -> carry_out(late, none); late = 0; none = 0 }
    :: d_step { late != 0 -> late = 0 }
    :: d_step { late_key != 0 -> remove_key(late_key, late_token); late_key = 0; late_token = 0 }
    :: d_step { late_key != 0 -> late_key = 0; late_token = 0 }
    :: ended == 2 -> break
    od;
    r = 0;
    /* dead publishers' leases run out */
    d_step { lease[1] = false; lease[2] = false; lease[3] = false; late = 0; late_key = 0;
        for (r : 1 .. tokens) { fresh[r] = false }; r = 0 }
    last_turn = true
}

/* whatever was interrupted, one publisher alone can go on: restore if need be, publish and activate */
proctype last_publisher(byte me) {
    byte token, other, dead, n, answer, seq, expected, r, was_live, was_greatest, was_intents; bool lost;
    last_turn;
    settle();
    if :: lost -> restoring(); settle() :: else fi;
    assert(!lost && live != 0);
    assert(live == was_live);                            /* the journal says what Redis says */
    r = 3;
    if
    :: live != 3 && !quarantined[3] ->
        place(r);
        assert(state[3] == VERIFIED);
        change(ACTIVATE, r, 0, 0);
        assert(live == 3)
    :: else
    fi;
    assert(state[live] == VERIFIED && keys[live] == WHOLE)
}

init {
    d_step {
#if BACKS > 0
        made = 1; id[1] = 1; told_id[1] = 1; done[1] = true; copied = 1; copied_result[1] = OK;
#endif
        /* release 1 went live by the first intent */
        intents = 1; kind[1] = ACTIVATE; target[1] = 1; makes[1] = 1; result[1] = OK; told[1] = DONE;
        state[1] = VERIFIED; keys[1] = WHOLE; live = 1; generation = 1; greatest = 1
    };
    atomic { run publisher(0); run publisher(1); run edge_replica(); run misfortune(); run last_publisher(0) }
}
