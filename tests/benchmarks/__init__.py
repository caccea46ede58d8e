"""`make bench`: how many frames a second the service takes, and how much of the machine's best that is.

| figure | what runs |
|---|---|
| `alone` | decode and forward pass without Kafka: decoding threads feed the thread that owns the model |
| `plain_loop` | the loop that one would write first: get one frame, judge it, send its verdict, commit, the next |
| `end_to_end` | `inspector run`, from the frames topic to the results topic |

All three take the same frames, model, cores and malloc settings. `alone` and `plain_loop` each get the settings that are
best for them on this machine, found by trying. The three are measured in turn, several times, and medians compared, as a
machine is not equally fast all the time.
"""
