/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Runs the attempts of a task and its fallback. `input` is JSON: the task, the job and the variables.

var given = JSON.parse(input);
var task = given.task;
var job = given.job;
var over = false;
job.log = log;

function reported(error) {
    if (!error) {
        return '';
    }
    if (typeof (error) !== 'object') {
        return error;
    }
    if (!error.statusCode) {
        return {name: error.name, message: error.message};
    }
    var copy = {name: error.name, message: error.message};
    Object.keys(error).forEach(function (member) {
        copy[member] = error[member];
    });
    return copy;
}

function finish(error, result) {
    if (over) {
        return;
    }
    over = true;
    var copy = {};
    Object.keys(job).forEach(function (member) {
        if (member !== 'log') {
            copy[member] = job[member];
        }
    });
    var done;
    try {
        done = JSON.stringify({result: result || '', error: reported(error), job: copy});
    } catch (e) {
        done = JSON.stringify({result: '', error: String(e), job: JSON.parse(input).job});
    }
    // Tells code that still runs in the background.
    job.timeToDie = true;
    host.done(done);
}

// Calls `start(cb)`. Calls `end(err, result)` once: after the first call of `cb`, or after the task's timeout.
function within(start, end) {
    var timer = null;
    var ended = false;
    function once(err, result) {
        if (!ended) {
            ended = true;
            clearTimer(timer);
            end(err, result);
        }
    }
    if (task.timeout) {
        timer = setTimer(function () {
            once('task timeout error');
        }, task.timeout * 1000);
    }
    start(once);
}

function fallBack(fallback, err) {
    within(function (cb) {
        fallback(err, job, cb);
    }, function (error, result) {
        finish(error, error ? '' : result || 'OK');
    });
}

function attempt(body, fallback, count) {
    within(function (cb) {
        body(job, cb);
    }, function (err, result) {
        if (!err) {
            finish(null, result || 'OK');
        } else if (err === 'queue' || err === 'retry' || err === 'wait') {
            finish(err, result || 'OK');
        } else if (count < (task.retry || 1)) {
            attempt(body, fallback, count + 1);
        } else if (fallback) {
            fallBack(fallback, err);
        } else {
            finish(err);
        }
    });
}

function evaluated(source) {
    // An indirect eval: it runs in the global scope and without strict mode.
    var value = (0, eval)('(' + source + ')');
    if (typeof (value) !== 'function') {
        throw new TypeError('opt.task.body (String) must be a Function source');
    }
    return value;
}

function furnish() {
    var named = task.modules;
    if (typeof (named) === 'string') {
        try {
            named = JSON.parse(named);
        } catch (e) {
            named = null;
        }
    }
    named = named || defaultModules;
    Object.keys(named).forEach(function (variable) {
        if (!modules[named[variable]]) {
            throw new Error('Cannot find module \'' + named[variable] + '\'');
        }
        globalThis[variable] = modules[named[variable]];
    });
    given.variables.forEach(function (pair) {
        globalThis[pair[0]] = pair[1];
    });
    Object.assign(globalThis, {
        setTimeout: setTimeout, clearTimeout: clearTimer, setInterval: setInterval, clearInterval: clearTimer,
        setImmediate: setImmediate, clearImmediate: clearTimer, console: console, Buffer: Buffer,
        info: function (record) {
            host.info(JSON.stringify({data: record, date: new Date().toISOString()}));
        }
    });
}

return function deliver(kind, id, text) {
    var handler = waiting[id];
    if (kind === 'begin') {
        furnish();
        attempt(evaluated(task.body), task.fallback ? evaluated(task.fallback) : null, 1);
    } else if (kind === 'die') {
        job.timeToDie = true;
    } else if (kind === 'thrown') {
        finish(text);
    } else if (handler) {
        delete waiting[id];
        handler(text);
    }
};
